/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file result.h
 * Answers that are no events: rows of any columns, one JSON object, or a small table. Written to standard output.
 */

#include <jansson.h>
#include <cli/grid.h>
#include <cli/options.h>

/**
 * @brief Rows in the format that the options ask for: a table, one JSON object a row, or CSV.
 * @param columns Array of names. @param rows Array of arrays of values.
 * @return an exit code; a failure has been said.
 */
int sonde_result_rows(const struct sonde_options *options, const json_t *columns, const json_t *rows);
/** One object, on one line. @return an exit code. */
int sonde_result_json(const json_t *json);
/** @return an exit code. */
int sonde_result_grid(const struct sonde_options *options, const struct sonde_grid *grid);
/** A cell: how many of a program's hooks are attached, of those that its settings do not switch off: "3 of 4". */
void sonde_result_hooks(struct sonde_grid *grid, const json_t *program);
/** A text that was built up; an error of the buffer is said. @return an exit code. */
int sonde_result_text(const struct sonde_buffer *text);
