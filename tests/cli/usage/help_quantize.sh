tapeout quantize --help
