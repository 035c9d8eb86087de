# The front door: one word a verb. How things are built stands in meson.build.
BUILD ?= build

.PHONY: all setup
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@meson setup $(BUILD)

setup:
	@tools/setup.sh
