# The front door: one word a verb. How things are built stands in meson.build; what a verb does in
# tools/. Debug and sanitizer builds lie beside build/, so that switching costs nothing.
BUILD ?= build
SANITIZE = -Dbuildtype=debugoptimized -Db_lundef=false -Db_sanitize

.PHONY: all setup demo test asan tsan valgrind fuzz fuzz-replay soak torture bench lint dist \
	install clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)
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
test: setup all $(BUILD)-asan/build.ninja
	@tools/run-tests lint asan ref cli e2e
asan: $(BUILD)-asan/build.ninja
	@tools/run-tests asan
tsan: $(BUILD)-tsan/build.ninja
	@tools/run-tests tsan
valgrind: all
	@tools/run-tests valgrind
fuzz fuzz-replay soak torture bench: all
	@tools/$@
lint:
	@tools/lint.py
dist: $(BUILD)/build.ninja
	@meson dist -C $(BUILD) --no-tests
install: all
	@meson install -C $(BUILD)
clean:
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz
