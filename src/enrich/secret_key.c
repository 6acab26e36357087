/* SPDX-License-Identifier: Apache-2.0 */
/* Names that announce a secret.
 *
 * A name is taken apart into words ("dbPassword", "db-password" and "DB_PASSWORD" are two each), so that "author", "tokenizer",
 * "bypass" or "keyboard" are not taken for auth, token, pass and key. What a name ends with may take it back: a
 * "password-file" is a path and a "secret-name" is public. */
#include <enrich/secret_key.h>

#include <base/cleanup.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 32

struct words {
	char before[WORD_MAX], last[WORD_MAX];
	size_t length; /* of last */
	int n;
	bool is_switch; /* one of them asks whether, not which */
};

static bool is_one_of(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(word, list[i]))
			return true;
	return false;
}

static bool ends_with(const char *word, const char *end)
{
	size_t length = strlen(word), n = strlen(end);

	return length >= n && !strcmp(word + length - n, end);
}

static enum sonde_secrecy secrecy_of_word(const struct words *words)
{
	static const char *const strong[] = {"password",  "passwd",    "passphrase", "passcode",  "apikey",
					     "accesskey", "secretkey", "privatekey", "accountkey"};
	static const char *const weak_ends[] = {"secret", "secrets", "token", "credential", "credentials"};
	static const char *const keys[] = {"api",  "access",  "private",    "secret", "account",
					   "auth", "signing", "encryption", "shared", "master"};
	const char *word = words->last;

	for (size_t i = 0; words->length >= strlen("passwd") && i < ARRAY_SIZE(strong); i++)
		if (strstr(word, strong[i]) && !ends_with(word, "less"))
			return SONDE_KEY_STRONG;
	if ((!strcmp(word, "key") || !strcmp(word, "keys")) && is_one_of(words->before, keys, ARRAY_SIZE(keys)))
		return SONDE_KEY_STRONG;
	for (size_t i = 0; i < ARRAY_SIZE(weak_ends); i++)
		if (ends_with(word, weak_ends[i]))
			return SONDE_KEY_WEAK;
	return SONDE_KEY_ORDINARY;
}

/* These say something only at the end: "auth-type" and "auth.login.config" are ordinary. */
static enum sonde_secrecy secrecy_of_last_word(const struct words *words)
{
	static const char *const passes[] = {"pass", "requirepass", "sshpass", "userpass", "bindpw", "creds"};
	const char *word = words->last;

	if (!strcmp(word, "authorization") || !strcmp(word, "cookie"))
		return SONDE_KEY_HEADER;
	if (is_one_of(word, passes, ARRAY_SIZE(passes)) || ends_with(word, "auth"))
		return SONDE_KEY_WEAK;
	/* PWD and OLDPWD are directories. */
	return words->n > 1 && !strcmp(word, "pwd") ? SONDE_KEY_WEAK : SONDE_KEY_ORDINARY;
}

static bool is_about_the_secret(const struct words *words)
{
	static const char *const ends[] = {
		"age",	    "algorithm", "attempts",  "audience", "authentication", "cache",   "class",	  "count",
		"dir",	    "directory", "driver",    "enabled",  "encoding",	    "encryption", "endpoint", "expiration",
		"expires",  "expiry",	 "fd",	      "file",	  "files",	    "format",  "helper",  "host",
		"issuer",   "length",	 "limit",     "manager",  "max",	    "method",  "min",	  "mode",
		"name",	    "names",	 "namespace", "path",	  "policy",	    "port",    "prompt",  "prompts",
		"provider", "required",	 "rotation",  "scope",	  "scopes",	    "size",    "stdin",	  "store",
		"timeout",  "ttl",	 "type",      "types",	  "uri",	    "url",     "version", "volume",
	};

	return is_one_of(words->last, ends, ARRAY_SIZE(ends));
}

static bool asks_whether(const struct words *words)
{
	static const char *const switches[] = {"allow", "ask",	  "disable", "enable", "has", "is",	"no",
					       "noauth", "prompt", "show",    "skip",	"use", "without"};

	return is_one_of(words->last, switches, ARRAY_SIZE(switches));
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool begins_word(const char *key, size_t i)
{
	return !i || (!is_letter(key[i - 1]) && !(key[i - 1] >= '0' && key[i - 1] <= '9')) ||
	       (key[i] >= 'A' && key[i] <= 'Z' && key[i - 1] >= 'a' && key[i - 1] <= 'z');
}

static void add_letter(struct words *words, char c)
{
	/* Of a very long word the end counts. */
	if (words->length == WORD_MAX - 1)
		memmove(words->last, words->last + 1, --words->length);
	words->last[words->length++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	words->last[words->length] = '\0';
}

static void next_word(struct words *words)
{
	words->is_switch |= asks_whether(words);
	memcpy(words->before, words->last, sizeof(words->before));
	words->last[0] = '\0';
	words->length = 0;
	words->n++;
}

static enum sonde_secrecy stronger(enum sonde_secrecy a, enum sonde_secrecy b)
{
	return a > b ? a : b;
}

enum sonde_secrecy sonde_secret_key(const char *key, size_t length)
{
	enum sonde_secrecy secrecy = SONDE_KEY_ORDINARY;
	struct words words = {0};

	for (size_t i = 0; i < length; i++) {
		if (!is_letter(key[i]) && !(key[i] >= '0' && key[i] <= '9'))
			continue;
		if (begins_word(key, i)) {
			secrecy = stronger(secrecy, secrecy_of_word(&words));
			next_word(&words);
		}
		add_letter(&words, key[i]);
	}
	words.is_switch |= asks_whether(&words);
	secrecy = stronger(secrecy, secrecy_of_word(&words));
	secrecy = stronger(secrecy, secrecy_of_last_word(&words));
	if (secrecy == SONDE_KEY_ORDINARY || is_about_the_secret(&words))
		return SONDE_KEY_ORDINARY;
	return words.is_switch ? SONDE_KEY_SWITCH : secrecy;
}

bool sonde_secret_value_is_plain(const char *value, size_t length)
{
	static const char *const plain[] = {"true", "false", "yes", "no", "on", "off", "none", "null"};

	if (!length || (length == 1 && *value >= '0' && *value <= '9'))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (strlen(plain[i]) == length && !strncasecmp(value, plain[i], length))
			return true;
	return false;
}
