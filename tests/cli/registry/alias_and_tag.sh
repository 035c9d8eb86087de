# Aliases lead to versions and keep them; tags are listed; a backup is a registry elsewhere.
python3 "$SOURCE/tests/cli/make_data.py" 100 >data.csv
cat >spec.yaml <<'END'
name: sold
data: {train: data.csv}
target: {column: sold}
features: "size = size"
model: {learner: linear}
END
for round in 1 2; do
    tapeout train spec.yaml --json >/dev/null 2>&1
done
tapeout alias set sold staging 1
tapeout alias set sold staging 2
tapeout rm sold:2 || :
tapeout alias log sold --json | python3 -c '
import json, sys
print([(move["kind"], move["from"], move["to"]) for move in json.load(sys.stdin)["moves"]])'
tapeout tag set sold:2 licence MIT
tapeout list --json | python3 -c '
import json, sys
for made in json.load(sys.stdin)["models"][0]["versions"]:
    print(made["version"], made["aliases"], made["tags"], sorted(made["origins"]))'
tapeout backup copy | sed 's/[0-9]* bytes/N bytes/'
tapeout restore copy --home other | sed 's/[0-9]* bytes/N bytes/'
tapeout list --home other --json | python3 -c '
import json, sys
print([made["aliases"] for made in json.load(sys.stdin)["models"][0]["versions"]])'
tapeout alias rm sold staging
tapeout rm sold:2
tapeout gc --grace 0 | sed 's/[0-9]* bytes/N bytes/'
tapeout alias set sold prod
