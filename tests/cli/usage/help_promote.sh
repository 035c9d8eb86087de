tapeout promote --help
