# What is said wrong about keys, trust and signatures is told in one line each.
tapeout keys || echo $?
tapeout keys make ada || echo $?
tapeout keys new '../ada' --no-passphrase || echo $?
printf '\n' >empty
tapeout keys new ada --passphrase-file empty || echo $?
tapeout keys new ada --passphrase-file nowhere || echo $?
tapeout keys show ada || echo $?
tapeout keys new ada --no-passphrase --person 'Ada' >/dev/null
tapeout keys new ada --no-passphrase || echo $?
tapeout trust add ada --from 2027-01-01 --until 2026-01-01 || echo $?
tapeout trust add ada --until tomorrow || echo $?
tapeout trust revoke ada || echo $?
tapeout trust revoke ada --reason lost || echo $?
tapeout sign nothing || echo $?
tapeout sign nothing --key ada || echo $?
printf 'no bundle' >file.tapeout
tapeout sign ./file.tapeout --key ada || echo $?
tapeout verify ./file.tapeout || echo $?
tapeout verify ./file.tapeout --key ./empty || echo $?
tapeout verify ./file.tapeout --trust ./nowhere || echo $?
