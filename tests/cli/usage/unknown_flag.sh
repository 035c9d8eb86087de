tapeout profile data.csv --jsn
