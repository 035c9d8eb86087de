# The front door: one word a verb. How things are built stands in meson.build, what a verb does in
# tools/. Sanitizer builds lie beside build/, at -O1: at -O2 two files took four minutes each.
BUILD ?= build
SANITIZE = -Doptimization=1 -Ddebug=true -Dc_args=-g1 -Db_lundef=false -Db_sanitize

.PHONY: all setup demo test asan tsan valgrind fuzz fuzz-replay soak torture bench lint dist \
	install clean
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) $(if $(MAKE_TERMOUT),,--quiet)
$(BUILD)/build.ninja:
	@meson setup $(BUILD)
$(BUILD)-asan/build.ninja:
	@meson setup $(BUILD)-asan $(SANITIZE)=address,undefined
$(BUILD)-tsan/build.ninja:
	@meson setup $(BUILD)-tsan $(SANITIZE)=thread

setup:
	@tools/setup.sh
demo: setup all
	@examples/flights/demo.sh
	@examples/trust/demo.sh
	@examples/llm/demo.sh
test: setup all $(BUILD)-asan/build.ninja
	@tools/run-tests lint tools asan ref cli e2e
torture: setup all $(BUILD)-asan/build.ninja $(BUILD)-tsan/build.ninja
	@tools/run-tests --full lint tools asan ref tsan cli e2e
asan fuzz-replay: $(BUILD)-asan/build.ninja
	@tools/run-tests $@
tsan: $(BUILD)-tsan/build.ninja
	@tools/run-tests $@
valgrind soak: all
	@tools/run-tests $@
lint:
	@tools/lint.py
fuzz bench: all
	@tools/$@
dist install: all
	@meson $@ -C $(BUILD) $(if $(filter dist,$@),--no-tests)
clean:
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz
