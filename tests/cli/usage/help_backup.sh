tapeout backup --help
