# rask-conf: what the scripts ask about the configuration, and the generator of its documentation.
programs += $(O)/bin/rask-conf
$(O)/bin/rask-conf: $(O)/scripts/rask_conf.o $(O)/libcommon.a
	$(link)
docs-conf: $(O)/bin/rask-conf ## writes docs/configuration.md from the option table
	@mkdir -p docs; $< doc >$(O)/configuration.md && cp $(O)/configuration.md docs/configuration.md
.PHONY: docs-conf
