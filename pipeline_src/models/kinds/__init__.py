"""One module a kind of network beside DC-CNN; the module's name is the kind's name."""
