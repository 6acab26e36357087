/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets inside a word. In doubt more is hidden, up to the end of the word; what begins a secret never stays for lack of
 * knowing where it ends. Nothing here knows commands: see redact.c. */
#include <enrich/secret_text.h>

#include <base/cleanup.h>
#include <enrich/secret_key.h>
#include <string.h>

#define ISSUED_TOKEN_MIN 20 /* bytes; longer than any prefix */

void sonde_line_hide(struct sonde_line *line, size_t start, size_t end)
{
	if (start < end)
		memset(line->hidden + start, true, end - start);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_quote(char c)
{
	return c == '"' || c == '\'' || c == '`';
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_key_char(char c)
{
	return is_alnum(c) || c == '_' || c == '-' || c == '.';
}

static bool is_number(const char *text, size_t length)
{
	while (length && text[length - 1] >= '0' && text[length - 1] <= '9')
		length--;
	return !length;
}

/* The first of `stops` or white space or a quote, or `end`. */
static size_t find_stop(const char *text, size_t start, size_t end, const char *stops)
{
	while (start < end && !is_space(text[start]) && !is_quote(text[start]) &&
	       !(text[start] && strchr(stops, text[start])))
		start++;
	return start;
}

struct assignment {
	size_t key, key_end, sign; /* text[sign] is '=' or ':' */
	bool quoted;		   /* "key": */
	enum sonde_secrecy secrecy;
};

static bool find_assignment(const struct sonde_line *line, struct sonde_span word, size_t sign, struct assignment *ret)
{
	const char *text = line->text;
	size_t end = sign, key;

	if (sign + 1 < word.end && text[sign] == '=' && text[sign + 1] == '=')
		return false; /* package==version, a == b */
	if (end > word.start && is_quote(text[end - 1]))
		end--;
	if (end < sign && end > word.start && text[end - 1] == '\\')
		end--;
	for (key = end; key > word.start && is_key_char(text[key - 1]); key--)
		;
	while (key < end && text[key] == '-')
		key++;
	if (key == end)
		return false;
	*ret = (struct assignment){.key = key, .key_end = end, .sign = sign, .quoted = end < sign,
				   .secrecy = sonde_secret_key(text + key, end - key)};
	/* A letter may be the option itself: -HAuthorization: */
	if (ret->secrecy == SONDE_KEY_ORDINARY && key > word.start && text[key - 1] == '-')
		ret->secrecy = sonde_secret_key(text + key + 1, end - key - 1);
	return ret->secrecy != SONDE_KEY_ORDINARY;
}

/* A colon assigns in JSON, in headers and, with a space after it, in YAML. Elsewhere it is image:tag, host:port or prose
 * ("auth: fix the login"). */
static bool colon_assigns(const struct sonde_line *line, struct sonde_span word, const struct assignment *a,
			  enum sonde_word_kind kind)
{
	const char *text = line->text;
	bool compound = memchr(text + a->key, '-', a->key_end - a->key) || memchr(text + a->key, '_', a->key_end - a->key);

	if (a->quoted || a->secrecy == SONDE_KEY_HEADER || kind == SONDE_WORD_HEADER)
		return true;
	return a->sign + 1 < word.end && is_space(text[a->sign + 1]) && (a->secrecy == SONDE_KEY_STRONG || compound);
}

/* After an opening quote at `quote`: up to the same one, escaped like that. */
static size_t find_closing_quote(const char *text, size_t quote, size_t end)
{
	bool escaped = quote && text[quote - 1] == '\\';

	for (size_t i = quote + 1; i < end; i++)
		if (text[i] == text[quote] && (text[i - 1] == '\\') == escaped)
			return escaped ? i - 1 : i;
	return end;
}

static size_t find_value_end(const struct sonde_line *line, struct sonde_span word, const struct assignment *a,
			     enum sonde_word_kind kind, size_t value)
{
	const char *text = line->text;
	size_t before = a->key;

	while (before > word.start && text[before - 1] == '-')
		before--;
	if (a->secrecy == SONDE_KEY_HEADER || (text[a->sign] == ':' && !a->quoted)) {
		bool enclosed = before > word.start && is_quote(text[before - 1]);

		return enclosed ? find_closing_quote(text, before - 1, word.end) : word.end;
	}
	if (before == word.start && kind != SONDE_WORD_SHELL)
		return word.end;
	if (before > word.start && is_quote(text[before - 1]) && !a->quoted)
		return find_closing_quote(text, before - 1, word.end);
	switch (before > word.start ? text[before - 1] : ' ') {
	case '?':
	case '&':
		return find_stop(text, value, word.end, "&#");
	case ';':
		return find_stop(text, value, word.end, ";");
	case ',':
	case '{':
		return find_stop(text, value, word.end, ",}");
	case '=': /* --from-literal=password=x */
		return kind == SONDE_WORD_SHELL ? find_stop(text, value, word.end, ";") : word.end;
	default:
		return find_stop(text, value, word.end, kind == SONDE_WORD_SHELL ? ";" : "");
	}
}

/* Returns where to go on. */
static size_t mark_assignment(struct sonde_line *line, struct sonde_span word, const struct assignment *a,
			      enum sonde_word_kind kind)
{
	const char *text = line->text;
	size_t value = a->sign + 1, end, quote;

	while (value < word.end && (text[a->sign] == ':' || a->quoted) && is_space(text[value]))
		value++;
	quote = value < word.end && text[value] == '\\' ? value + 1 : value;
	if (quote < word.end && is_quote(text[quote])) {
		value = quote + 1;
		end = find_closing_quote(text, quote, word.end);
	} else {
		end = find_value_end(line, word, a, kind, value);
	}
	if (end < value)
		end = value;
	if ((a->secrecy == SONDE_KEY_WEAK || a->secrecy == SONDE_KEY_SWITCH) &&
	    sonde_secret_value_is_plain(text + value, end - value))
		return value;
	sonde_line_hide(line, value, end);
	return end > a->sign + 1 ? end : a->sign + 1;
}

/* scheme://user:password@host. `start` is behind the slashes. */
static void mark_url(struct sonde_line *line, struct sonde_span word, size_t start)
{
	const char *text = line->text;
	size_t end = find_stop(text, start, word.end, "/?#");
	const char *colon = memchr(text + start, ':', end - start);
	const char *at = memrchr(text + start, '@', end - start);
	size_t password = colon ? (size_t)(colon - text) + 1 : end;

	if (at && colon && colon < at) {
		sonde_line_hide(line, password, (size_t)(at - text));
		return;
	}
	if (at || !colon || text[start] == '[' || is_number(text + password, end - password))
		return; /* no password: a port at most */
	at = memchr(text + end, '@', word.end - end);
	if (at && find_stop(text, end, word.end, "@") == (size_t)(at - text)) /* an unescaped slash in the password */
		sonde_line_hide(line, password, (size_t)(at - text));
	else if (end == line->length) /* the line was cut off before the @ */
		sonde_line_hide(line, password, end);
}

static void mark_issued_token(struct sonde_line *line, struct sonde_span word, size_t start)
{
	static const char *const prefixes[] = {"ghp_",	"gho_",	 "ghu_",      "ghs_", "ghr_",	  "github_pat_", "glpat-",
					       "xoxb-", "xoxp-", "dckr_pat_", "hvs.", "sk_live_", "sk-proj-",	 "sk-ant-",
					       "AIza",	"eyJ"};
	const char *text = line->text;
	size_t end = start, length;

	if (word.end - start < ISSUED_TOKEN_MIN)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (prefixes[i][0] != text[start])
			continue;
		length = strlen(prefixes[i]);
		if (memcmp(text + start, prefixes[i], length))
			continue;
		for (end = start + length; end < word.end && is_key_char(text[end]); end++)
			;
		if (end - start >= ISSUED_TOKEN_MIN)
			sonde_line_hide(line, start, end);
		return;
	}
}

void sonde_secret_text_mark(struct sonde_line *line, struct sonde_span word, enum sonde_word_kind kind)
{
	const char *text = line->text, *pem;
	struct assignment a;

	for (size_t i = word.start; i < word.end; i++) {
		if (line->hidden[i])
			continue;
		if (i + 3 <= word.end && !memcmp(text + i, "://", 3))
			mark_url(line, word, i + 3);
		if (is_alnum(text[i]) && (i == word.start || !is_alnum(text[i - 1])))
			mark_issued_token(line, word, i);
	}
	for (size_t i = word.start; i < word.end;) {
		if ((text[i] == '=' || text[i] == ':') && find_assignment(line, word, i, &a) &&
		    (text[i] == '=' || colon_assigns(line, word, &a, kind)))
			i = mark_assignment(line, word, &a, kind);
		else
			i++;
	}
	pem = memmem(text + word.start, word.end - word.start, "PRIVATE KEY-----", 16);
	if (pem)
		sonde_line_hide(line, (size_t)(pem - text) + 16, word.end);
}
