/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <base/cleanup.h>
#include <cli/grid.h>

static const char *const headings[] = {"NAME", "COUNT", "WHY", NULL};

static void expect(const struct sonde_grid *grid, unsigned width, bool color, const char *text)
{
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;

	assert_int_equal(sonde_grid_write(grid, width, color, &out), 0);
	assert_string_equal(out.data, text);
}

static void columns_are_aligned(void **state)
{
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};

	sonde_grid_begin(&grid, headings, 1 << 1);
	expect(&grid, 0, false, "NAME  COUNT  WHY\n");
	sonde_grid_add(&grid, "a");
	sonde_grid_addf(&grid, "%d", 7);
	sonde_grid_add(&grid, "");
	sonde_grid_add(&grid, "größer");
	sonde_grid_addf(&grid, "%d", 1234567);
	sonde_grid_add(&grid, "because");
	expect(&grid, 0, false, "NAME      COUNT  WHY\na             7\ngrößer  1234567  because\n");
	expect(&grid, 0, true, "\033[1mNAME      COUNT  WHY\033[0m\na             7\ngrößer  1234567  because\n");
}

static void the_last_column_is_cut_to_the_width(void **state)
{
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};

	sonde_grid_begin(&grid, headings, 1 << 1);
	sonde_grid_add(&grid, "a");
	sonde_grid_add(&grid, "1");
	sonde_grid_add(&grid, "0123456789012345678901234567890123456789");
	expect(&grid, 40, false, "NAME  COUNT  WHY\na         1  01234567890123456789012345…\n");
	/* Too narrow to tell anything: rather wrapped than cut to nothing. */
	expect(&grid, 20, false, "NAME  COUNT  WHY\na         1  0123456789012345678901234567890123456789\n");
}

static void cells_are_safe_for_a_terminal(void **state)
{
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};

	sonde_grid_begin(&grid, headings, 0);
	sonde_grid_add(&grid, "\033[31m\n\xff");
	sonde_grid_add(&grid, "\xc2\x9b" "2J");
	sonde_grid_add(&grid, "\xe2\x80\xae");
	assert_int_equal(sonde_grid_write(&grid, 80, false, &out), 0);
	for (size_t i = 0; i < out.length; i++)
		assert_true((unsigned char)out.data[i] >= 0x20 || out.data[i] == '\n');
	assert_null(memmem(out.data, out.length, "\xc2\x9b", 2));
	assert_null(memmem(out.data, out.length, "\xff", 1));
	assert_null(memmem(out.data, out.length, "\xe2\x80\xae", 3));
}

static void many_rows(void **state)
{
	struct sonde_buffer out CLEANUP(sonde_buffer_free) = SONDE_BUFFER_INIT;
	struct sonde_grid grid CLEANUP(sonde_grid_end) = {0};
	size_t lines = 0;

	sonde_grid_begin(&grid, headings, 0);
	for (int i = 0; i < 3000; i++)
		sonde_grid_addf(&grid, "%d", i);
	assert_int_equal(sonde_grid_write(&grid, 80, false, &out), 0);
	for (size_t i = 0; i < out.length; i++)
		lines += out.data[i] == '\n';
	assert_int_equal(lines, 1001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_aligned),
		cmocka_unit_test(the_last_column_is_cut_to_the_width),
		cmocka_unit_test(cells_are_safe_for_a_terminal),
		cmocka_unit_test(many_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
