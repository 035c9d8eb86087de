# Wrong usage: one line that says what was meant, nothing on stdout, status 2.
try() {
    status=0
    tapeout "$@" || status=$?
    echo "$status"
}
try trian spec.yaml
try xyzzy
try train
try train a.yaml b.yaml
try train a.yaml --sed 3
try train a.yaml --seed
try train a.yaml --seed 1x
try train a.yaml --seed=1 --seed=2
try train a.yaml --seed 99999999999999999999
try train a.yaml --threads 0
try train a.yaml --json=yes
try predict -x m data.csv
try list --threads 1 extra
