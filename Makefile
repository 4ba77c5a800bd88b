# A thin front for Meson and Ninja. SAN=address|undefined|thread (address,undefined may be
# combined) builds and tests in a directory of its own.

SAN   ?=
comma := ,
BUILD ?= build$(if $(SAN),-$(subst $(comma),-,$(SAN)))
SETUP  = $(if $(SAN),-Db_sanitize=$(SAN) -Db_lundef=false)
C_FILES = find . -name '*.[ch]' -not -path './build*' -not -path '*/node_modules/*'

.PHONY: all demo test check soak mutants bench format clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD) $(SETUP)

demo:
	./scripts/demo

test: all
	./tools/count.py $(BUILD) $(if $(SAN),--timeout-multiplier 10)

# What must hold before a commit; the end-to-end tests of `make test` are left out for speed.
check: all
	$(C_FILES) | xargs clang-format --dry-run -Werror
	./tools/count.py $(BUILD) --no-suite e2e

# SOAK takes the options of tools/soak: make soak SOAK="--seeds 1:2000 --flapping 600 --fuzz 60"
soak: all
	./tools/soak --build $(BUILD) $(SOAK)

mutants:
	./tools/mutants

bench: all
	./bench/run.py $(BUILD) $(BENCH)

format:
	$(C_FILES) | xargs clang-format -i

clean:
	rm -rf build build-address build-undefined build-address-undefined build-thread
