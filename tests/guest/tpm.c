/* A secret that is sealed in the TPM (its TIS at 0xfed40000), and unsealed again later: the object
 * that holds it is in the TPM alone, so it has to have come along when the machine was moved. The
 * firmware has started the TPM. Of one of version 1.2 a register takes the place of the secret. */
#include "guest.h"

#define TIS 0xfed40000u
#define ACCESS 0x00u
#define STS 0x18u
#define CAPABILITY 0x14u
#define FIFO 0x24u

enum { READY = 0x40, GO = 0x20, DATA = 0x10, VALID = 0x80, ACTIVE = 0x20, REQUEST = 0x02 };

static const uint8_t secret[16] = "open-sesame-once";
static uint32_t handle;
static uint8_t pcr[20];
static uint8_t answer[512];

static volatile uint8_t *at(uint32_t reg)
{
	return (volatile uint8_t *)(TIS + reg);
}

static int wait_for(uint32_t reg, uint8_t bits)
{
	for (uint32_t end = cpu_ticks() + 10 * HZ; (*at(reg) & bits) != bits; cpu_idle())
		if (cpu_ticks() > end)
			return -1;
	return 0;
}

static uint32_t big(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The answer's code, 0 being good; -1: there is none. */
static uint32_t ask(const uint8_t *command, uint32_t len)
{
	uint32_t n = 0;

	*at(ACCESS) = REQUEST;
	if (wait_for(ACCESS, ACTIVE) < 0)
		return -1u;
	*at(STS) = READY;
	if (wait_for(STS, READY) < 0)
		return -1u;
	for (uint32_t i = 0; i < len; i++)
		*at(FIFO) = command[i];
	*at(STS) = GO;
	if (wait_for(STS, VALID | DATA) < 0)
		return -1u;
	while (n < sizeof answer && (*at(STS) & DATA))
		answer[n++] = *at(FIFO);
	*at(STS) = READY;
	return n >= 10 ? big(answer + 6) : -1u;
}

static void say(const char *what, uint32_t code)
{
	struct text t = {.len = 0};

	text_str(&t, "TPM ");
	text_str(&t, what);
	text_str(&t, " ");
	text_hex(&t, code);
	text_str(&t, "\n");
	serial_puts(t.s);
}

static int is_v12(void)
{
	return *(volatile uint32_t *)(TIS + CAPABILITY) >> 28 == 2;
}

/* TPM_Extend of PCR 16 with the secret. */
static void extend(void)
{
	uint8_t command[34] = {0, 0xc1, 0, 0, 0, 34, 0, 0, 0, 0x14, 0, 0, 0, 16};
	uint32_t code;

	for (uint32_t i = 0; i < sizeof secret; i++)
		command[14 + i] = secret[i];
	code = ask(command, sizeof command);
	for (uint32_t i = 0; i < sizeof pcr; i++)
		pcr[i] = answer[10 + i];
	say("sealed", code);
}

/* TPM_PCRRead of it. */
static void compare(void)
{
	static const uint8_t command[14] = {0, 0xc1, 0, 0, 0, 14, 0, 0, 0, 0x15, 0, 0, 0, 16};
	uint32_t code = ask(command, sizeof command);

	for (uint32_t i = 0; code == 0 && i < sizeof pcr; i++)
		if (answer[10 + i] != pcr[i])
			code = -2u;
	say("unsealed", code);
}

/* TPM2_CreatePrimary of a sealed object (a keyed hash with data of ours) under the owner. */
void tpm_seal(void)
{
	static uint8_t command[71] = {
	    0x80, 0x02, 0, 0, 0,    71, 0, 0, 0x01, 0x31, 0x40, 0, 0, 1, /* owner */
	    0,	  0,	0, 9, 0x40, 0,	0, 9, 0,    0,	  0,	0, 0,	 /* its empty password */
	    0,	  20,	0, 0, 0,    16};				 /* the secret */
	static const uint8_t rest[] = {0, 14, 0,    8, 0, 11, 0, 0, 0x04, 0x52, 0,
				       0, 0,  0x10, 0, 0, 0,  0, 0, 0,	  0,	0};
	uint32_t code;

	if (is_v12()) {
		extend();
		return;
	}
	for (uint32_t i = 0; i < sizeof secret; i++)
		command[33 + i] = secret[i];
	for (uint32_t i = 0; i < sizeof rest; i++)
		command[49 + i] = rest[i];
	code = ask(command, sizeof command);
	handle = code == 0 ? big(answer + 10) : 0;
	say("sealed", code);
}

/* TPM2_Unseal, of what tpm_seal has left there. */
void tpm_unseal(void)
{
	uint8_t command[27] = {0x80, 0x02, 0, 0, 0,    27, 0, 0, 0x01, 0x5e, 0, 0, 0, 0,
			       0,    0,	   0, 9, 0x40, 0,  0, 9, 0,    0,    0, 0, 0};
	uint32_t code;

	if (is_v12()) {
		compare();
		return;
	}
	for (uint32_t i = 0; i < 4; i++)
		command[10 + i] = (uint8_t)(handle >> (24 - 8 * i));
	code = ask(command, sizeof command);
	for (uint32_t i = 0; code == 0 && i < sizeof secret; i++)
		if (answer[16 + i] != secret[i])
			code = -2u;
	say("unsealed", code);
}
