"""Families of maps, one file each; a file that is added here is a family that files and options know."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
