# Ctrl-C in the middle of training: status 130, no bundle, no half of one, nothing registered; a
# bundle that was there before is still there.
python3 "$SOURCE/tests/cli/make_data.py" 60000 >data.csv
cat >spec.yaml <<END
name: m
data: {train: data.csv}
target: {column: price}
features: |
  size  = size
  color = category(color)
model: {trees: 20000, leaves: 63}
END
echo before >m.tapeout
mkdir home
python3 - <<'END'
import signal, subprocess, time
for options in (["--out", "m.tapeout"], []):
    for number in (signal.SIGINT, signal.SIGTERM):
        run = subprocess.Popen(["tapeout", "train", "spec.yaml", "--home", "home", *options],
                               stderr=subprocess.PIPE, text=True)
        time.sleep(1.5)
        run.send_signal(number)
        words = run.communicate(timeout=60)[1]
        print(run.returncode, words, end="")
END
cat m.tapeout
ls
find home -type f
tapeout list --json --home home
