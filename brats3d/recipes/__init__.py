"""The recipes that come with the library; see `brats3d.train.read_recipe`."""
