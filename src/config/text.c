/* SPDX-License-Identifier: Apache-2.0 */
/* The YAML library tells of such bytes only by their offset, and takes UTF-16 too: so they are found here, before it. */
#include <config/text.h>

#include <errno.h>
#include <stdint.h>

/* One character; @return its bytes, or 0: not UTF-8 (overlong, surrogate, cut off, beyond U+10FFFF). */
static size_t character_read(const unsigned char *p, size_t left, uint32_t *ret_character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
	uint32_t character = n == 1 ? p[0] : n ? p[0] & (0x7fu >> n) : 0;

	if (!n || n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		character = character << 6 | (p[i] & 0x3f);
	}
	if (character < least[n] || character > 0x10ffff || (character >= 0xd800 && character < 0xe000))
		return 0;
	*ret_character = character;
	return n;
}

/* What YAML calls printable. */
static const char *character_fault(uint32_t c)
{
	if (c == '\t' || c == '\n' || c == '\r' || c == 0x85)
		return NULL;
	if (c == 0)
		return "a NUL byte";
	if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xfeff || c == 0xfffe || c == 0xffff)
		return "a control character";
	return NULL;
}

int sonde_text_check(const char *bytes, size_t length, struct sonde_text_fault *ret_fault)
{
	const unsigned char *p = (const unsigned char *)bytes, *end = p + length;
	unsigned line = 1, column = 1;

	while (p < end) {
		uint32_t c = 0;
		size_t n = character_read(p, (size_t)(end - p), &c);
		const char *what = n ? character_fault(c) : "a byte that is not UTF-8";

		if (what) {
			*ret_fault = (struct sonde_text_fault){what, line, column};
			return -EINVAL;
		}
		p += n;
		if (c == '\n' || (c == '\r' && !(p < end && *p == '\n')) || c == 0x85 || c == 0x2028 || c == 0x2029) {
			line++;
			column = 1;
		} else {
			column++;
		}
	}
	return 0;
}
