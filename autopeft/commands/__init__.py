"""The commands of the command line: each is config → api → print, with heavy imports inside it."""
