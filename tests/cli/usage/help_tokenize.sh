tapeout tokenize --help
