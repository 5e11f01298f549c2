"""One module per kind of network beside DC-CNN; the module's name is the kind's name."""
