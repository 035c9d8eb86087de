tapeout doctor --help
