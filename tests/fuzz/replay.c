/*
 * Stands in for libFuzzer where the compiler has none: runs the target over
 * inputs from a fixed generator, from pure noise to runs of small numbers. Files
 * given as arguments are replayed instead (a crash that was found, say).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUTS = 3000, INPUT_MAX = 4096 };

static uint64_t state = 0x123456789abcdef;

static uint32_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16);
}

static int replay(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		perror(path);
		return 1;
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (replay(argv[i]))
			return 1;
	if (argc > 1)
		return 0;
	for (int i = 0; i < INPUTS; i++) {
		static uint8_t data[INPUT_MAX];
		size_t n = next() % (sizeof(data) + 1);
		uint32_t mask = next() % 3 == 0 ? 0xff : next() % 2 ? 0x1f : 0x7;

		for (size_t k = 0; k < n; k++)
			data[k] = (uint8_t)(next() & mask);
		LLVMFuzzerTestOneInput(data, n);
	}
	printf("%d inputs\n", INPUTS);
	return 0;
}
