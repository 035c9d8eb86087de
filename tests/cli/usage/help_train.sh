tapeout train --help
