tapeout policy --help
