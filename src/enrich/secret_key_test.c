/* SPDX-License-Identifier: Apache-2.0 */
#include <enrich/secret_key.h>

#include <base/cleanup.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *key;
	enum sonde_secrecy secrecy;
} keys[] = {
	{"password", SONDE_KEY_STRONG},		{"PGPASSWORD", SONDE_KEY_STRONG},
	{"db-password", SONDE_KEY_STRONG},	{"dbPassword", SONDE_KEY_STRONG},
	{"spring.datasource.password", SONDE_KEY_STRONG}, {"rootpasswd", SONDE_KEY_STRONG},
	{"api-key", SONDE_KEY_STRONG},		{"apiKey", SONDE_KEY_STRONG},
	{"APIKEY", SONDE_KEY_STRONG},		{"X-Api-Key", SONDE_KEY_STRONG},
	{"AWS_SECRET_ACCESS_KEY", SONDE_KEY_STRONG}, {"AWS_ACCESS_KEY_ID", SONDE_KEY_STRONG},
	{"private_key", SONDE_KEY_STRONG},	{"AccountKey", SONDE_KEY_STRONG},
	{"PASSWORD_PROD", SONDE_KEY_STRONG},	{"token", SONDE_KEY_WEAK},
	{"authToken", SONDE_KEY_WEAK},		{"OAuthToken", SONDE_KEY_WEAK},
	{"client_secret", SONDE_KEY_WEAK},	{"credential", SONDE_KEY_WEAK},
	{"auth", SONDE_KEY_WEAK},		{"masterauth", SONDE_KEY_WEAK},
	{"requirepass", SONDE_KEY_WEAK},	{"MYSQL_PWD", SONDE_KEY_WEAK},
	{"Authorization", SONDE_KEY_HEADER},	{"Proxy-Authorization", SONDE_KEY_HEADER},
	{"Set-Cookie", SONDE_KEY_HEADER},	{"no-password", SONDE_KEY_SWITCH},
	{"ALLOW_EMPTY_PASSWORD", SONDE_KEY_SWITCH}, {"use_token", SONDE_KEY_SWITCH},
	{"", SONDE_KEY_ORDINARY},		{"---", SONDE_KEY_ORDINARY},
	{"author", SONDE_KEY_ORDINARY},		{"authority", SONDE_KEY_ORDINARY},
	{"authenticate", SONDE_KEY_ORDINARY},	{"auth-type", SONDE_KEY_ORDINARY},
	{"tokenizer", SONDE_KEY_ORDINARY},	{"max-tokens", SONDE_KEY_ORDINARY},
	{"secretary", SONDE_KEY_ORDINARY},	{"passwordless", SONDE_KEY_ORDINARY},
	{"password-file", SONDE_KEY_ORDINARY},	{"passwordFile", SONDE_KEY_ORDINARY},
	{"PasswordAuthentication", SONDE_KEY_ORDINARY}, {"secret-name", SONDE_KEY_ORDINARY},
	{"key", SONDE_KEY_ORDINARY},		{"ssh-key", SONDE_KEY_ORDINARY},
	{"keyboard", SONDE_KEY_ORDINARY},	{"bypass", SONDE_KEY_ORDINARY},
	{"PWD", SONDE_KEY_ORDINARY},		{"SSH_AUTH_SOCK", SONDE_KEY_ORDINARY},
	{"credential.helper", SONDE_KEY_ORDINARY},
	{"averyveryveryveryveryveryveryverylongnamethatendsinpassword", SONDE_KEY_STRONG},
};

static void test_keys(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (sonde_secret_key(keys[i].key, strlen(keys[i].key)) != keys[i].secrecy)
			print_error("%s\n", keys[i].key);
		assert_int_equal(sonde_secret_key(keys[i].key, strlen(keys[i].key)), keys[i].secrecy);
	}
}

static void test_plain_values(void **state)
{
	assert_true(sonde_secret_value_is_plain("", 0));
	assert_true(sonde_secret_value_is_plain("TRUE", 4));
	assert_true(sonde_secret_value_is_plain("1", 1));
	assert_false(sonde_secret_value_is_plain("x", 1));
	assert_false(sonde_secret_value_is_plain("12", 2));
	assert_false(sonde_secret_value_is_plain("truer", 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_plain_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
