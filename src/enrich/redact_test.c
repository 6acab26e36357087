/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines with a planted secret that must not survive, and ordinary ones that must not change. Words are written
 * with '|' between them, because a NUL cannot stand in a table. */
#include <sonde/program.h>

#include <base/cleanup.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SECRET "hunter2hunter2"

/* The memory ends where the line ends, so that the sanitizer sees a read beyond it. */
static size_t redact(const char *line, char *out)
{
	size_t length = strlen(line), n;
	char *words = malloc(length ? length : 1);

	assert_non_null(words);
	memcpy(words, line, length);
	for (size_t i = 0; i < length; i++)
		if (words[i] == '|')
			words[i] = '\0';
	n = sonde_redact_arguments(words, length, length);
	assert_true(n <= length);
	for (size_t i = 0; i < n; i++)
		out[i] = words[i] ? words[i] : '|';
	out[n] = '\0';
	free(words);
	return n;
}

static const struct {
	const char *line, *redacted;
} secrets[] = {
	/* options with a telling name */
	{"app|--password=" SECRET, "app|--password=***"},
	{"app|--password|" SECRET "|--verbose", "app|--password|***|--verbose"},
	{"app|--password|-starts-with-a-dash", "app|--password|***"},
	{"app|-password|" SECRET, "app|-password|***"},
	{"app|--token|" SECRET "|x", "app|--token|***|x"},
	{"app|--token=" SECRET "|x", "app|--token=***|x"},
	{"app|--dbPassword=" SECRET, "app|--dbPassword=***"},
	{"app|--client-secret|" SECRET, "app|--client-secret|***"},
	{"app|--api-key=" SECRET, "app|--api-key=***"},
	{"app|--apikey|" SECRET, "app|--apikey|***"},
	{"app|--access_key=" SECRET, "app|--access_key=***"},
	{"app|--private-key|" SECRET, "app|--private-key|***"},
	{"app|--credential=" SECRET, "app|--credential=***"},
	{"app|--auth|user:" SECRET, "app|--auth|***"},
	{"app|--password=with spaces and \"quotes\"|x", "app|--password=***|x"},
	{"redis-server|--requirepass|" SECRET, "redis-server|--requirepass|***"},
	{"java|-Dspring.datasource.password=" SECRET "|-jar|a.jar", "java|-Dspring.datasource.password=***|-jar|a.jar"},
	{"java|-Djavax.net.ssl.trustStorePassword=" SECRET, "java|-Djavax.net.ssl.trustStorePassword=***"},
	/* assignments */
	{"env|DB_PASSWORD=" SECRET "|app", "env|DB_PASSWORD=***|app"},
	{"env|AWS_SECRET_ACCESS_KEY=" SECRET, "env|AWS_SECRET_ACCESS_KEY=***"},
	{"env|PGPASSWORD=" SECRET "|psql", "env|PGPASSWORD=***|psql"},
	{"env|MYSQL_PWD=" SECRET, "env|MYSQL_PWD=***"},
	{"env|GITHUB_TOKEN=" SECRET "=", "env|GITHUB_TOKEN=***"},
	{"env|REDISCLI_AUTH=" SECRET, "env|REDISCLI_AUTH=***"},
	{"env|SECRET_KEY_BASE=" SECRET, "env|SECRET_KEY_BASE=***"},
	{"docker|run|-e|API_KEY=" SECRET "|nginx", "docker|run|-e|API_KEY=***|nginx"},
	{"docker|run|-eAPI_KEY=" SECRET "|nginx", "docker|run|-eAPI_KEY=***|nginx"},
	{"docker|run|--env=DB_PASSWORD=" SECRET "|nginx", "docker|run|--env=DB_PASSWORD=***|nginx"},
	{"kubectl|create|secret|generic|db|--from-literal=password=a,b&c;" SECRET,
	 "kubectl|create|secret|generic|db|--from-literal=password=***"},
	{"mount|-o|username=me,password=" SECRET ",vers=3", "mount|-o|username=me,password=***,vers=3"},
	{"app|Server=db;User Id=sa;Password=" SECRET ";Encrypt=yes", "app|Server=db;User Id=sa;Password=***;Encrypt=yes"},
	{"psql|host=db user=me password=" SECRET " sslmode=require", "psql|host=db user=me password=*** sslmode=require"},
	{"app|DefaultEndpointsProtocol=https;AccountKey=" SECRET "==;x=1", "app|DefaultEndpointsProtocol=https;AccountKey=***;x=1"},
	/* certain commands */
	{"mysql|-uroot|-p" SECRET "|db", "mysql|-uroot|-p***|db"},
	{"/usr/bin/mysqldump|-p" SECRET, "/usr/bin/mysqldump|-p***"},
	{"mysqladmin|-p" SECRET "|ping", "mysqladmin|-p***|ping"},
	{"sudo|-u|root|mysql|-p" SECRET, "sudo|-u|root|mysql|-p***"},
	{"docker|exec|-it|db|mysql|-p" SECRET, "docker|exec|-it|db|mysql|-p***"},
	{"mongosh|-p|" SECRET, "mongosh|-p|***"},
	{"sshpass|-p|" SECRET "|ssh|host", "sshpass|-p|***|ssh|host"},
	{"sshpass|-p" SECRET "|ssh|host", "sshpass|-p***|ssh|host"},
	{"curl|-u|user:" SECRET "|http://host/", "curl|-u|user:***|http://host/"},
	{"curl|-uuser:" SECRET "|http://host/", "curl|-uuser:***|http://host/"},
	{"curl|-u||--password=" SECRET, "curl|-u||--password=***"},
	{"curl|-u|--password=" SECRET, "curl|-u|--password=***"},
	{"curl|--user|user:" SECRET, "curl|--user|user:***"},
	{"redis-cli|-a|" SECRET "|ping", "redis-cli|-a|***|ping"},
	{"ldapsearch|-D|cn=a|-w|" SECRET, "ldapsearch|-D|cn=a|-w|***"},
	{"smbclient|//h/s|-U|me%" SECRET, "smbclient|//h/s|-U|me%***"},
	{"docker|login|-u|me|-p|" SECRET "|registry", "docker|login|-u|me|-p|***|registry"},
	{"openssl|enc|-pass|pass:" SECRET, "openssl|enc|-pass|***"},
	{"openssl|rsa|-passin|pass:" SECRET, "openssl|rsa|-passin|pass:***"},
	{"7z|a|-p" SECRET "|x.7z", "7z|a|-p***|x.7z"},
	/* URLs */
	{"app|postgres://user:" SECRET "@db:5432/x", "app|postgres://user:***@db:5432/x"},
	{"app|--dsn=mysql://u:" SECRET "@h/", "app|--dsn=mysql://u:***@h/"},
	{"app|redis://:" SECRET "@h", "app|redis://:***@h"},
	{"app|amqp://u:p@ss@" SECRET "@h/", "app|amqp://u:***@h/"},
	{"app|postgres://user:with/slash" SECRET "@db/x", "app|postgres://user:***@db/x"},
	{"app|postgres://user:" SECRET, "app|postgres://user:***"},
	{"curl|https://h/p?a=1&token=" SECRET "&b=2", "curl|https://h/p?a=1&token=***&b=2"},
	{"curl|https://h/p?api_key=" SECRET "#x", "curl|https://h/p?api_key=***#x"},
	/* headers and bodies */
	{"curl|-H|Authorization: Bearer " SECRET "|http://h", "curl|-H|Authorization: ***|http://h"},
	{"curl|-HAuthorization: Basic " SECRET, "curl|-HAuthorization: ***"},
	{"curl|--header|X-Auth-Token:" SECRET, "curl|--header|X-Auth-Token:***"},
	{"curl|-H|PRIVATE-TOKEN: " SECRET, "curl|-H|PRIVATE-TOKEN: ***"},
	{"curl|-H|Cookie: sid=" SECRET, "curl|-H|Cookie: ***"},
	{"curl|-d|{\"user\":\"me\",\"password\":\"" SECRET "\"}", "curl|-d|{\"user\":\"me\",\"password\":\"***\"}"},
	{"curl|-d|{\"password\": \"two words " SECRET "\", \"x\": 1}", "curl|-d|{\"password\": \"***\", \"x\": 1}"},
	{"curl|-d|{\\\"token\\\":\\\"" SECRET "\\\"}", "curl|-d|{\\\"token\\\":\\\"***\\\"}"},
	{"curl|-d|user=me&password=" SECRET "&x=1", "curl|-d|user=me&password=***&x=1"},
	{"app|ghp_" SECRET "0123456789", "app|***"},
	{"git|clone|https://ghp_" SECRET "0123456789@github.com/a/b", "git|clone|https://***@github.com/a/b"},
	{"app|-----BEGIN PRIVATE KEY-----\n" SECRET, "app|-----BEGIN PRIVATE KEY-----***"},
	/* command lines for a shell */
	{"sh|-c|mysql -uroot -p" SECRET " db", "sh|-c|mysql -uroot -p*** db"},
	{"sh|-c|cd\n/x\nmysql\t-p" SECRET "\tdb", "sh|-c|cd\n/x\nmysql\t-p***\tdb"},
	{"bash|-lc|PGPASSWORD=" SECRET " psql -h db", "bash|-lc|PGPASSWORD=*** psql -h db"},
	{"sh|-c|export TOKEN=" SECRET "; run --fast", "sh|-c|export TOKEN=***; run --fast"},
	{"sh|-c|cd /x && app --password " SECRET " --fast", "sh|-c|cd /x && app --password *** --fast"},
	{"sh|-c|app --password 'two " SECRET "' --fast", "sh|-c|app --password '***' --fast"},
	{"sh|-c|app --password=\"two " SECRET "\" --fast", "sh|-c|app --password=\"***\" --fast"},
	{"sh|-c|curl -u me:" SECRET " http://h | jq .", "sh|-c|curl -u me:*** http://h | jq ."},
	{"sh|-c|curl -H \"Authorization: Bearer " SECRET "\" http://h", "sh|-c|curl -H \"Authorization: ***\" http://h"},
	{"sh|-c|curl -H 'X-Api-Key:" SECRET "' http://h", "sh|-c|curl -H 'X-Api-Key:***' http://h"},
	{"sh|-c|sshpass -p '" SECRET "' ssh host", "sh|-c|sshpass -p '***' ssh host"},
	/* short and cut off */
	{"mysql|-px", "mysql|-p*"},
	{"app|--password|xy", "app|--password|**"},
	{"app|--password=hunt", "app|--password=***"},
};

static void test_secrets_do_not_survive(void **state)
{
	char out[512];

	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
		redact(secrets[i].line, out);
		if (strcmp(out, secrets[i].redacted))
			print_error("%s\n", secrets[i].line);
		assert_string_equal(out, secrets[i].redacted);
		assert_null(strstr(out, SECRET));
	}
}

static const char *const ordinary[] = {
	"",
	"|",
	"||x||",
	"ls|-la|/etc/passwd",
	"cat|/run/secrets/token",
	"passwd|root",
	"vi|passwords.txt",
	"git|commit|--author=Jane Doe <jane@example.org>|-m|auth: fix the login, token: rename",
	"git|log|--author|jane",
	"git|config|credential.helper|store",
	"git|-c|credential.helper=store|fetch",
	"git|clone|git@github.com:a/b.git",
	"git|clone|ssh://git@github.com:22/a/b.git",
	"npm|i|https://unpkg.com:443/react@18",
	"pip|install|token==1.0|secret==2.1",
	"docker|run|-p|8080:80|registry:5000/secret:latest",
	"docker|run|--name|mysql|-p3306:3306|mysql:8",
	"docker|login|--password-stdin|registry",
	"docker|run|-e|MYSQL_ALLOW_EMPTY_PASSWORD=yes|-e|ALLOW_EMPTY_PASSWORD=yes|mysql",
	"kubectl|get|secret|my-secret|-o|yaml",
	"kubectl|get|pods|-n|auth",
	"vault|token|lookup",
	"ssh|-i|/root/.ssh/id_rsa|-o|PasswordAuthentication=no|-o|NumberOfPasswordPrompts=1|-p|2222|host",
	"ssh|-p2222|host",
	"ssh-keygen|-t|ed25519",
	"app|--password-file=/run/pw|--token-file|/run/token|--tls-key|/etc/key.pem",
	"app|--tokenizer|gpt2|--max-tokens|4096|--secretary=me|--keyboard=us|--compass|north",
	"app|--auth-type|basic|--authority=ca.example|--authors|x|--auth=none|--no-auth|x|--enable-token=true",
	"app|--passthrough|x|--bypass|y|--passwordless|z|--key|value",
	"ansible-playbook|--ask-become-pass|site.yml|--ask-pass|x",
	"psql|--no-password|db",
	"ffmpeg|-i|a.mp4|-pass|2|out.mp4",
	"mysql|-uroot|-p|db",
	"mysqldump|--port=3306|--protocol|tcp",
	"grep|-r|mysql|-pfoo",
	"cp|-pr|a|b",
	"mkdir|-p|/a/b/c",
	"ps|-p|1234|-o|pid",
	"curl|-u|user|http://host:8080/path@x?a=1&b=2",
	"curl|-H|Content-Type: application/json|-d|{\"name\":\"x\",\"author\":\"y\"}|http://[::1]:8090/",
	"java|-Djava.security.auth.login.config=/etc/jaas.conf|-Dport=1:2",
	"mongod|--replSet|rs0|mongodb://h1:27017,h2:27017/db",
	"kafka|--listeners=PLAINTEXT://:9092",
	"awk|{print $1}|a=b|key=value",
	"python3|-c|import secrets; print(len(x) == 3)",
	"nginx: worker process",
	"sshd: root@pts/0",
	"sh|-c|cd /x && make -j4 KEY=value && ls -p | wc -l",
	"env|PWD=/root|OLDPWD=/|SSH_AUTH_SOCK=/tmp/a|PATH=/bin",
	"zip|-r|a.zip|b",
	"tar|-cpf|a.tar|b",
	"make|-j|-pn",
	"\xff\xfe\x01|\x1b[31m|*** stars ***",
};

static void test_ordinary_lines_stay(void **state)
{
	char out[512];

	for (size_t i = 0; i < ARRAY_SIZE(ordinary); i++) {
		redact(ordinary[i], out);
		assert_string_equal(out, ordinary[i]);
	}
}

/* Wherever the kernel side cuts the line off, no more than the first letters of a secret may be shown, as a part of
 * what is still an ordinary word. */
static void test_cut_lines_hide_too(void **state)
{
	char out[512], cut[512];

	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
		const char *secret = strstr(secrets[i].line, SECRET);

		/* What cannot be told before it is complete: an issued token, and what follows an @ or a slash. */
		if (!secret || strstr(secrets[i].line, "ghp_") || strstr(secrets[i].line, "with/slash") ||
		    strstr(secrets[i].line, "p@ss"))
			continue;
		for (size_t n = 1; n <= strlen(SECRET); n++) {
			size_t length = (size_t)(secret - secrets[i].line) + n;

			memcpy(cut, secrets[i].line, length);
			cut[length] = '\0';
			redact(cut, out);
			if (strstr(out, "hun"))
				print_error("%s -> %s\n", cut, out);
			assert_null(strstr(out, "hun"));
		}
	}
}

static void test_limits(void **state)
{
	static char long_line[3 * SONDE_RECORD_MAX];
	size_t n;

	memset(long_line, 'a', sizeof(long_line));
	memcpy(long_line, "app\0--password=", 15);
	n = sonde_redact_arguments(long_line, sizeof(long_line), sizeof(long_line));
	assert_int_equal(n, 18);
	assert_memory_equal(long_line, "app\0--password=***", 18);
	memset(long_line, 'a', sizeof(long_line));
	assert_int_equal(sonde_redact_arguments(long_line, sizeof(long_line), sizeof(long_line)), SONDE_RECORD_MAX);
	assert_int_equal(sonde_redact_arguments(long_line, sizeof(long_line), 10), 10);
	assert_int_equal(sonde_redact_arguments(NULL, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets_do_not_survive),
		cmocka_unit_test(test_ordinary_lines_stay),
		cmocka_unit_test(test_cut_lines_hide_too),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
