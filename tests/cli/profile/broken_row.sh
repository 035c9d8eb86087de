printf 'a,b\n1,2\n3\n' >data.csv
tapeout profile data.csv
