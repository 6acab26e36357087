/* SPDX-License-Identifier: Apache-2.0 */
/* Redaction of command lines.
 *
 * Two steps: mark what is secret, then close up each marked stretch to at most three stars, so the line never grows. What a
 * secret looks like by itself is known to secret_text.c; here are options that announce one: by their name (--token X) or
 * because a certain command takes it there (mysql -pX). A word with white space in it may be a command line for a shell
 * and is looked through as one too. */
#include <sonde/program.h>

#include <base/cleanup.h>
#include <enrich/secret_key.h>
#include <enrich/secret_text.h>
#include <string.h>

enum how {
	ATTACHED = 1,	 /* -pX */
	NEXT = 2,	 /* -p X */
	AFTER_COLON = 4, /* only what follows the first colon: user:password */
	AFTER_PERCENT = 8,
};

struct rule {
	const char *commands; /* by the last part of their path; " name name " */
	const char *option;
	unsigned int how;
};

static const struct rule rules[] = {
	{" mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlslap mysqlbinlog mariadb mariadb-dump "
	 "mariadb-admin mariadb-check mariadb-import mariadb-show ", "-p", ATTACHED},
	{" mongo mongosh mongodump mongorestore mongoexport mongoimport mongostat mongotop ", "-p", ATTACHED | NEXT},
	{" sshpass ", "-p", ATTACHED | NEXT},
	{" curl ", "-u", ATTACHED | NEXT | AFTER_COLON},
	{" curl ", "-U", ATTACHED | NEXT | AFTER_COLON},
	{" curl ", "--user", NEXT | AFTER_COLON},
	{" curl ", "--proxy-user", NEXT | AFTER_COLON},
	{" http https xh ", "-a", ATTACHED | NEXT | AFTER_COLON},
	{" redis-cli valkey-cli ", "-a", NEXT},
	{" ldapsearch ldapadd ldapmodify ldapdelete ldapmodrdn ldapwhoami ldapcompare ldappasswd ", "-w", ATTACHED | NEXT},
	{" smbclient rpcclient net smbget ", "-U", ATTACHED | NEXT | AFTER_PERCENT},
	{" login ", "-p", NEXT}, /* docker login, helm registry login */
	{" sqlcmd bcp ", "-P", ATTACHED | NEXT},
	{" ipmitool ", "-P", NEXT},
	{" zip unzip ", "-P", ATTACHED | NEXT},
	{" 7z 7za 7zr rar unrar ", "-p", ATTACHED},
	{" plink pscp psftp putty ", "-pw", NEXT},
	{" useradd usermod ", "-p", NEXT},
	{" xfreerdp xfreerdp3 ", "/p:", ATTACHED},
	{" openssl ", "pass:", ATTACHED},
};

_Static_assert(ARRAY_SIZE(rules) < 32, "one bit for each rule");

/* Commands that run another one, which then stands anywhere behind them. */
static const char wrappers[] = " sudo doas env nice ionice chrt taskset timeout nohup setsid stdbuf strace ltrace time chroot "
			       "su runuser xargs watch flock unshare nsenter ssh sshpass exec systemd-run proxychains busybox "
			       "docker podman nerdctl buildah skopeo helm oras az kubectl oc crictl lxc machinectl ";

struct state {
	bool at_command; /* the next word is a command's name */
	bool wrapped;	 /* the command is a wrapper */
	bool in_wrapped; /* active rules were found behind a wrapper */
	unsigned int active;
	bool value_next;	  /* the word before asked for a value */
	unsigned int value_how;	  /* of that value */
	bool value_may_be_plain;
	bool header_next;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool has_space(const struct sonde_line *line, struct sonde_span word)
{
	while (word.start < word.end && !is_space(line->text[word.start]))
		word.start++;
	return word.start < word.end;
}

static bool is_quote(char c)
{
	return c == '"' || c == '\'';
}

static bool list_has(const char *list, const char *name, size_t length)
{
	for (const char *found = list; (found = memmem(found, strlen(found), name, length)); found++)
		if (found > list && found[-1] == ' ' && found[length] == ' ')
			return true;
	return false;
}

static void see_command(const struct sonde_line *line, struct sonde_span word, struct state *state)
{
	const char *slash = memrchr(line->text + word.start, '/', word.end - word.start);
	const char *name = slash ? slash + 1 : line->text + word.start;
	size_t length = (size_t)(line->text + word.end - name);

	/* NAME=value before a command in a shell's line */
	if (!length || memchr(name, '=', length) || memchr(name, ' ', length) || (!state->at_command && !state->wrapped))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (list_has(rules[i].commands, name, length)) {
			state->active |= 1u << i;
			state->in_wrapped = !state->at_command;
		}
	if (state->at_command)
		state->wrapped = list_has(wrappers, name, length);
	state->at_command = false;
}

static void hide_value(struct sonde_line *line, struct sonde_span value, unsigned int how)
{
	const char *found;

	if (how & (AFTER_COLON | AFTER_PERCENT)) {
		found = memchr(line->text + value.start, how & AFTER_COLON ? ':' : '%', value.end - value.start);
		if (!found)
			return;
		value.start = (size_t)(found - line->text) + 1;
	}
	sonde_line_hide(line, value.start, value.end);
}

/* docker run --name mysql -p3306:3306: a port, not a password */
static bool looks_like_ports(const struct sonde_line *line, struct sonde_span value)
{
	for (size_t i = value.start; i < value.end; i++)
		if (!strchr("0123456789:./-tcpud", line->text[i]) || !line->text[i])
			return false;
	return true;
}

static void apply_rules(struct sonde_line *line, struct sonde_span word, struct state *state)
{
	for (size_t i = 0; state->active >> i; i++) {
		size_t length = strlen(rules[i].option);
		struct sonde_span value = {word.start + length, word.end};

		if (!(state->active >> i & 1) || value.start > word.end ||
		    memcmp(line->text + word.start, rules[i].option, length))
			continue;
		if (value.start == value.end && rules[i].how & NEXT) {
			state->value_next = true;
			state->value_how = rules[i].how;
			state->value_may_be_plain = false;
		} else if (value.start < value.end && rules[i].how & ATTACHED &&
			   !(state->in_wrapped && looks_like_ports(line, value))) {
			hide_value(line, value, rules[i].how);
		}
	}
}

static void see_option(const struct sonde_line *line, struct sonde_span word, struct state *state)
{
	static const char headers[] = " -H --header --proxy-header -rpc-header --rpc-header ";
	const char *option = line->text + word.start;
	size_t length = word.end - word.start, dashes = 0;
	enum sonde_secrecy secrecy;

	while (dashes < length && option[dashes] == '-')
		dashes++;
	state->header_next = list_has(headers, option, length);
	/* One letter says nothing, and --name=value is seen to by secret_text.c. */
	if (length - dashes < 3 || memchr(option, '=', length) || memchr(option, ' ', length))
		return;
	secrecy = sonde_secret_key(option + dashes, length - dashes);
	if (secrecy == SONDE_KEY_ORDINARY || secrecy == SONDE_KEY_SWITCH)
		return;
	state->value_next = true;
	state->value_how = 0;
	state->value_may_be_plain = secrecy == SONDE_KEY_WEAK;
}

/* The word after an option that takes a secret. True: this was the secret. */
static bool take_value(struct sonde_line *line, struct sonde_span word, struct state *state)
{
	const char *text = line->text + word.start;
	size_t length = word.end - word.start;

	if (!state->value_next)
		return false;
	state->value_next = false;
	/* An option that takes none after all: --ask-password --verbose. A secret may begin with one dash. */
	if (!state->value_how && length > 2 && text[0] == '-' && text[1] == '-' && text[2] >= 'a' && text[2] <= 'z')
		return false;
	if (state->value_may_be_plain && sonde_secret_value_is_plain(text, length))
		return true;
	hide_value(line, word, state->value_how);
	return true;
}

static void see_word(struct sonde_line *line, struct sonde_span word, struct state *state)
{
	if (take_value(line, word, state) || word.start == word.end)
		return;
	apply_rules(line, word, state);
	if (line->text[word.start] == '-')
		see_option(line, word, state);
	else
		see_command(line, word, state);
}

/* A word of a shell's line: up to white space or an operator outside of quotes. */
static struct sonde_span shell_word(const struct sonde_line *line, struct sonde_span rest)
{
	struct sonde_span word = {rest.start, rest.start};
	char quote = '\0';

	for (; word.end < rest.end; word.end++) {
		char c = line->text[word.end];

		if (c == '\\' && word.end + 1 < rest.end)
			word.end++;
		else if (quote)
			quote = c == quote ? '\0' : quote;
		else if (is_quote(c))
			quote = c;
		else if (is_space(c) || (c && strchr(";|&()", c)))
			break;
	}
	return word;
}

static void see_shell_line(struct sonde_line *line, struct sonde_span rest)
{
	struct state state = {.at_command = true};
	struct sonde_span word;

	while (rest.start < rest.end) {
		char c = line->text[rest.start];

		if (is_space(c) || (c && strchr(";|&()", c))) {
			if (c != ' ' && c != '\t')
				state = (struct state){.at_command = true};
			rest.start++;
			continue;
		}
		word = shell_word(line, rest);
		rest.start = word.end;
		if (is_quote(line->text[word.start]))
			word.start++;
		if (word.end > word.start && is_quote(line->text[word.end - 1]))
			word.end--;
		if (state.header_next)
			sonde_secret_text_mark(line, word, SONDE_WORD_HEADER);
		state.header_next = false;
		see_word(line, word, &state);
	}
}

/* sh -c, bash -lc, su -c */
static bool is_command_option(const struct sonde_line *line, struct sonde_span word)
{
	const char *text = line->text + word.start;
	size_t length = word.end - word.start;

	return length >= 2 && length <= 5 && text[0] == '-' && text[1] != '-' && text[length - 1] == 'c';
}

static void mark_line(struct sonde_line *line)
{
	struct state state = {.at_command = true};
	struct sonde_span word = {0, 0};
	bool is_shell = false;

	for (; word.start < line->length; word.start = word.end + 1) {
		enum sonde_word_kind kind = is_shell ? SONDE_WORD_SHELL : SONDE_WORD_PLAIN;

		word.end = word.start + strnlen(line->text + word.start, line->length - word.start);
		if (state.header_next)
			kind = SONDE_WORD_HEADER;
		state.header_next = false;
		is_shell = is_command_option(line, word);
		see_word(line, word, &state);
		/* Also what was taken as a value: it may be one only in part, or not at all. */
		sonde_secret_text_mark(line, word, kind);
		if (has_space(line, word))
			see_shell_line(line, word);
	}
}

size_t sonde_redact_arguments(char *arguments, size_t length, size_t capacity)
{
	struct sonde_line line = {.text = arguments};
	size_t out = 0, stars = 0;

	line.length = length < capacity ? length : capacity;
	if (line.length > SONDE_RECORD_MAX)
		line.length = SONDE_RECORD_MAX;
	mark_line(&line);
	for (size_t i = 0; i < line.length; i++) {
		stars = line.hidden[i] ? stars + 1 : 0;
		if (stars <= 3)
			arguments[out++] = line.hidden[i] ? '*' : arguments[i];
	}
	return out;
}
