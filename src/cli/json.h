/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file json.h JSON with whole numbers up to 2^64 - 1, which the library's integers end before. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * @brief Any JSON value. Where one of its whole numbers is 2^63 or more, those of 19 digits and more are read as ["DIGITS"].
 * @param error May be NULL. @return NULL: it is none.
 */
json_t *sonde_json_read(const char *text, size_t length, json_error_t *error);
/** Whether the value is such a number, and fits 64 bits. */
bool sonde_json_large(const json_t *json, uint64_t *ret_number);
/**
 * @brief Of a text, the \xNN that sonde writes for bytes that JSON cannot hold (schema/encode.h) back to bytes: from then on it may be
 * no UTF-8 and hold NUL. Anything else stays as it is. @return 0, -ENOMEM.
 */
int sonde_json_unescape(json_t *json);
/** Fields of an object; "" and 0 when they are not there. */
const char *sonde_json_text_of(const json_t *object, const char *name);
int64_t sonde_json_number_of(const json_t *object, const char *name);
