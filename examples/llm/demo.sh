#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A language model, from the file that people have to OpenAI's client: SmolLM2-135M-Instruct, which
# `make setup` has put into .deps/models.
set -euo pipefail
cd "$(dirname "$0")/../.."
. examples/lib.sh
model=.deps/models/SmolLM2-135M-Instruct.Q4_1.gguf

mkdir -p $work

step "1. Import: metadata, tokenizer and weights, packed once and for all, in one hashed file"
run tapeout import $model --name smollm2
run tapeout inspect smollm2

step "2. Ask it in the terminal"
run tapeout generate smollm2 --prompt "What is the capital of France?"

step "3. Have the answer follow a schema"
run cat examples/llm/person.json
run tapeout generate smollm2 --prompt "Describe a person." --json-schema examples/llm/person.json

step "4. Serve it, and ask with OpenAI's own client"
start_server smollm2 --no-auth
run cat examples/llm/ask.py
run .deps/venv/bin/python examples/llm/ask.py "$url"

step "5. Stop"
stop_server
echo "Talk to it yourself with:"
echo "  TAPEOUT_HOME=$work/home build/tapeout chat smollm2"
