"""The commands: a module for each, in which `add` declares its arguments and `run` calls the experiment."""
