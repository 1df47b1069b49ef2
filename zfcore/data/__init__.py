"""Where pictures come from and how they become network input: image files, the built-in scenes, preprocessing."""
