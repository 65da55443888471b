"""The methods that fit a steering, one folder or file each."""
