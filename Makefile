demo test:
	./surefoot $@
.PHONY: demo test
