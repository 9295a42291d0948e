# paciolan: build, try, test, install.  `make help` lists the targets.
#
# One tree, one set of shared objects per Lua ABI:
#   build/5.4/paciolan/*.so   Lua 5.4        build/jit/paciolan/*.so   LuaJIT 2.1, OpenResty
# A module never links a Lua library: the host provides those symbols.
#
# Works with GNU make 3.81 and newer. The packages are looked up while recipes run, so that one run can install them and
# then use them. B names the build directory and may not contain a space; the checkout itself may stand anywhere.

B       ?= build
ABIS    ?= 5.4 jit
ABI     ?= 5.4
PREFIX  ?= /usr/local
DESTDIR ?=

LUA_5.4 ?= lua5.4
LUA_jit ?= luajit
PC_5.4  ?= lua5.4
PC_jit  ?= luajit
VER_5.4 := 5.4
VER_jit := 5.1
PKG_CONFIG ?= pkg-config

CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wpointer-arith \
           -Wwrite-strings -Werror=implicit-function-declaration $(WERROR)
MODFLAGS = -std=gnu11 -fPIC -fvisibility=hidden -Isrc
# nodelete: curl and OpenSSL keep state that must outlive dlclose. Apple's linker has no such flag and needs none.
LIBFLAG ?= $(if $(filter Darwin,$(shell uname -s)),-bundle -undefined dynamic_lookup,-shared)
NODELETE = $(if $(filter Darwin,$(shell uname -s)),,-Wl,-z,nodelete)
SOFLAGS  = $(LIBFLAG) $(NODELETE)

# make V=1 shows whole commands, make -s shows none.
Q       := $(if $(V),,@)
TELL     = @$(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),:,printf '  %s  %s\n' '$(1)' '$@')

PURE    := $(sort $(wildcard src/pac_*.c src/contract/*.c))
CORE    := $(PURE) $(sort $(wildcard src/lpac_*.c))
HEADERS := $(wildcard src/*.h src/contract/*.h)

# Shared objects: name, sources, pkg-config packages. The optional ones are left out of a rock, and of an installation,
# when their library is absent.
MODULES      := core httpd sqlite redis authority
OPTIONAL     := httpd sqlite redis authority
SRC_core     := $(CORE)
PKG_core     := libcurl libcrypto zlib
SRC_httpd    := src/httpd.c src/httpd_exchange.c src/httpd_deadline.c
PKG_httpd    := libmicrohttpd zlib
SRC_sqlite   := src/sqlite.c src/sqlite_file.c src/sqlite_handles.c src/sqlite_items.c
PKG_sqlite   := sqlite3
SRC_redis    := src/redis.c src/redis_link.c src/redis_tls.c
PKG_redis    := hiredis libssl libcrypto
SRC_authority := src/authority.c src/authority_issue.c
PKG_authority := libcrypto

# Where the headers of an ABI are. `make rock` sets INC_rock from what LuaRocks found.
INC_5.4  = $(shell $(PKG_CONFIG) --cflags $(PC_5.4))
INC_jit  = $(shell $(PKG_CONFIG) --cflags $(PC_jit))
PKGS     = $(foreach m,$(MODULES),$(PKG_$(m)))
PRESENT  = core $(foreach m,$(OPTIONAL),$(if $(shell $(PKG_CONFIG) --exists $(PKG_$(m)) && echo yes),$(m)))
ABSENT   = $(filter-out $(PRESENT),$(OPTIONAL))

.PHONY: all help deps deps-build deps-test deps-check deps-nginx env demo example-nginx bench bench-nginx test check \
        fuzz torture unit-build install rock rock-install format format-check reference docs clean
.DEFAULT_GOAL := all

all: $(foreach abi,$(ABIS),$(foreach m,$(MODULES),$(B)/$(abi)/paciolan/$(m).so)) ## build for both ABIs into build/

define OBJECT_RULES
$(B)/$(1)/o/%.o: src/%.c $$(HEADERS)
	@mkdir -p $$(@D)
	$$(call TELL,CC)
	$$(Q)$$(CC) $$(MODFLAGS) $$(WARN) $$(CFLAGS) $$(INC_$(1)) $$(shell $$(PKG_CONFIG) --cflags $$(PKGS)) -c $$< -o $$@
endef
define MODULE_RULES
$(B)/$(1)/paciolan/$(2).so: $$(patsubst src/%.c,$(B)/$(1)/o/%.o,$$(SRC_$(2)))
	@mkdir -p $$(@D)
	$$(call TELL,LD)
	$$(Q)$$(CC) $$(SOFLAGS) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(shell $$(PKG_CONFIG) --libs $$(PKG_$(2))) -lm -lpthread
endef
$(foreach abi,$(ABIS),$(eval $(call OBJECT_RULES,$(abi))))
$(foreach abi,$(ABIS),$(foreach m,$(MODULES),$(eval $(call MODULE_RULES,$(abi),$(m)))))

# ---- Getting ready ------------------------------------------------------------------------------------------------------
# The probes use the same interpreters and packages as the rules above.
DEPS := LUA54="$(LUA_5.4)" LUAJIT="$(LUA_jit)" PC_LUA54="$(PC_5.4)" PC_LUAJIT="$(PC_jit)" \
        PKG_CONFIG="$(PKG_CONFIG)" ./.ci/deps

deps: ## install whatever building, testing and checking need
	@$(DEPS) build test check
deps-build: ## install what `all` and `demo` need
	@$(DEPS) build
deps-test: ## install what `test` needs
	@$(DEPS) build test
deps-check: ## install what `check` needs
	@$(DEPS) build test check
deps-nginx: ## install what `example-nginx` needs
	@$(DEPS) build nginx

# ---- Trying -------------------------------------------------------------------------------------------------------------
# eval "$(make -s env)" or eval "$(make -s env ABI=jit)": run the built tree from anywhere.
HERE  = $(if $(filter /%,$(B)),$(B),$(CURDIR)/$(B))
env: ## print LUA_PATH and LUA_CPATH of the built tree, for eval
	@echo "export LUA_PATH='$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;;'"
	@echo "export LUA_CPATH='$(HERE)/$(ABI)/?.so;;'"

# The story needs one ABI only, and nobody wants to read what make has to say before it begins.
ONE_ABI = --no-print-directory ABIS=5.4 ABI=5.4
demo: deps-build ## sell, print and transfer tickets against the sandbox
	@$(MAKE) $(ONE_ABI) -q all || { \
	  echo "Building for $(LUA_5.4); this takes a few seconds, once."; $(MAKE) $(ONE_ABI) $(if $(V),,-s) all; }
	@eval "$$($(MAKE) $(ONE_ABI) -s env)" && $(LUA_5.4) examples/first_sale.lua

# nginx's Lua is LuaJIT, and so its example runs on that.
example-nginx: deps-nginx ## receive, proxy and sell inside nginx, against the sandbox
	@$(MAKE) --no-print-directory ABIS=jit -s all
	@eval "$$($(MAKE) --no-print-directory -s env ABI=jit)" && $(LUA_jit) examples/nginx/run.lua

bench: deps-test ## time a check, an encoding, a call, calls side by side, the stores, a receipt, a sale on both Luas, and nginx
	@$(MAKE) --no-print-directory all
	@for program in payload call concurrent store receive workflow; do $(foreach abi,$(ABIS), \
	  ( eval "$$($(MAKE) -s --no-print-directory env ABI=$(abi))" && \
	    LUA_PATH="$(CURDIR)/bench/?.lua;$$LUA_PATH" $(LUA_$(abi)) bench/$$program.lua ) || exit 1;) \
	done
	@$(MAKE) --no-print-directory bench-nginx
bench-nginx: deps-test ## time calls and messages inside nginx, and watch its memory: make bench-nginx MESSAGES=500000
	@$(MAKE) --no-print-directory all
	@eval "$$($(MAKE) -s --no-print-directory env)" && \
	  LUA_PATH="$(CURDIR)/bench/?.lua;$$LUA_PATH" MESSAGES="$(MESSAGES)" $(LUA_5.4) bench/nginx.lua

# ---- Testing ------------------------------------------------------------------------------------------------------------
include spec/c/Makefile.inc
unit-build: $(patsubst spec/c/%.c,$(B)/unit/%,$(wildcard spec/c/*_test.c))

include fuzz/Makefile.inc

RUN := B="$(B)" LUA54="$(LUA_5.4)" LUAJIT="$(LUA_jit)" spec/run

test: deps-test ## unit tests, specs on both ABIs, installation; ends in "N passed, N failed"
	@$(MAKE) --no-print-directory all unit-build
	@$(RUN) unit specs nginx install

check: deps-check ## strict builds, linters, sanitizers, fuzzers, valgrind; ends in "N passed, N failed"
	@$(MAKE) --no-print-directory all unit-build
	@$(RUN) strict lint sanitize fuzz valgrind

fuzz: deps-check ## run each fuzzer for a minute: make fuzz FUZZ_SECONDS=60
	@$(MAKE) --no-print-directory -s fuzz-build
	@fuzz/run "$(B)/fuzz" -max_total_time=$(FUZZ_SECONDS) $(FUZZERS)

# The seed of a run that fails repeats it. FIRST and LAST name the slots of a part of it.
RUNS  ?= 10000
SEED  ?= 1
STORE ?= sqlite
torture: deps-test ## kill workflows at random: make torture RUNS=10000 SEED=1 STORE=sqlite|redis
	@$(MAKE) --no-print-directory -s all
	@eval "$$($(MAKE) -s --no-print-directory env ABI=$(ABI))" && LUA_PATH="$(CURDIR)/spec/?.lua;$$LUA_PATH" \
	  PACIOLAN_LUA="$(LUA_$(ABI))" $(LUA_$(ABI)) spec/support/torture_main.lua "$(RUNS)" "$(SEED)" "$(STORE)" \
	  "$(FIRST)" "$(LAST)"

# ---- Installing ---------------------------------------------------------------------------------------------------------
INST_LIBDIR ?= $(PREFIX)/lib/lua/$(VER_$(ABI))
INST_LUADIR ?= $(PREFIX)/share/lua/$(VER_$(ABI))
INST_BINDIR ?= $(PREFIX)/bin

install: ## install for one ABI: make install ABI=5.4|jit PREFIX=/usr/local DESTDIR=
	@$(MAKE) --no-print-directory ABIS=$(ABI) MODULES="$(PRESENT)" all
	@for m in $(ABSENT); do echo "left out: paciolan.$$m, whose library $(PKG_CONFIG) does not find" >&2; done
	mkdir -p "$(DESTDIR)$(INST_LIBDIR)/paciolan" "$(DESTDIR)$(INST_LUADIR)" "$(DESTDIR)$(INST_BINDIR)"
	cp $(PRESENT:%=$(B)/$(ABI)/paciolan/%.so) "$(DESTDIR)$(INST_LIBDIR)/paciolan/"
	cp -R lua/. "$(DESTDIR)$(INST_LUADIR)/"
	cp bin/paciolan "$(DESTDIR)$(INST_BINDIR)/"

# LuaRocks passes LUA_INCDIR, CFLAGS and LIBFLAG, and the directories to install into; the rockspec says how. A rock is
# always built anew: what lies there may be for another Lua.
ROCK = $(MAKE) --no-print-directory ABIS=rock ABI=rock MODULES="$(PRESENT)"
rock:
	@$(PKG_CONFIG) --exists $(PKG_core) || { echo "paciolan needs $(PKG_CONFIG), and it must find: $(PKG_core)" >&2; exit 1; }
	@rm -rf $(B)/rock
	@$(ROCK) INC_rock='-I"$(LUA_INCDIR)"' all
rock-install:
	mkdir -p "$(INST_LIBDIR)/paciolan" "$(INST_LUADIR)"
	cp $(B)/rock/paciolan/*.so "$(INST_LIBDIR)/paciolan/"
	cp -R lua/. "$(INST_LUADIR)/"

# The tables of src/contract are aligned by hand.
FORMATTED = $(wildcard src/*.[ch] spec/c/*.[ch] fuzz/*.[ch])
format: ## lay out the C files as .clang-format says
	clang-format -i $(FORMATTED)
format-check:
	clang-format --dry-run -Werror $(FORMATTED)

reference: ## the reference of the Lua modules, into build/reference
	@mkdir -p $(B)/reference
	ldoc -q $(LDOC_FLAGS) -d $(B)/reference .

docs: deps-build ## write docs/openapi.yaml and docs/reference anew from the table of operations
	@$(MAKE) $(ONE_ABI) -s all
	@eval "$$($(MAKE) $(ONE_ABI) -s env)" && \
	  for generator in docs/generate/*.lua; do $(LUA_5.4) "$$generator" || exit 1; done

clean: ## remove everything that was built
	rm -rf $(B) $(B)-gcc $(B)-clang $(B)-asan $(B)-rock

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
