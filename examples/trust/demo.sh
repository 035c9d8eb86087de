#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What runs is what was approved: a signature, a policy, a server with TLS and keys, MLflow's client,
# and the log in which all of it stands. After examples/flights/demo.sh, whose model it takes on.
set -euo pipefail
cd "$(dirname "$0")/../.."
. examples/lib.sh
here=examples/trust

step "1. Somebody signs the flights model, and this home is told whose key that is"
run tapeout keys new ann --person Ann --no-passphrase
run tapeout trust add ann
run tapeout sign flight-delay:1 --key ann
run tapeout verify flight-delay:1

step "2. A policy, and the gate: what is found out is kept with the decision"
run cat $here/policy.yaml
run tapeout policy set $here/policy.yaml --by ann
run tapeout promote flight-delay:1 prod --by ann --reason "first"

step "3. Serve what prod leads to, with TLS, for those who have a key"
start_server flight-delay@prod --tls self
key=$(tapeout access key new app --role scorer:flight-delay --json | json_text key)
publisher=$(tapeout access key new notebook --role publisher --json | json_text key)
sleep 1 # a running server knows new keys within a second
certificate=$work/home/tls/self.crt
echo '$ curl --cacert CERTIFICATE --data-binary @record.json URL/score'
curl --silent --cacert "$certificate" --data-binary @examples/flights/record.json "$url/score"
echo
echo '$ curl --cacert CERTIFICATE -H "Authorization: Bearer KEY" --data-binary @record.json URL/score'
curl --silent --cacert "$certificate" -H "Authorization: Bearer $key" \
    --data-binary @examples/flights/record.json "$url/score"
echo

step "4. MLflow's own client on the same server"
run cat $here/track.py
MLFLOW_TRACKING_URI=$url MLFLOW_TRACKING_TOKEN=$publisher \
    MLFLOW_TRACKING_SERVER_CERT_PATH=$certificate PYTHONPATH=.deps/mlflow3 \
    .deps/venv/bin/python $here/track.py

step "5. Stop, and read the log"
stop_server
run tapeout audit list
run tapeout audit verify
