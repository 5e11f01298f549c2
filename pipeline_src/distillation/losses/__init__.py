"""One module a distillation method; the module's name is the method's name."""
