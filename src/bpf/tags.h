/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/** @file tags.h Declaration tags on functions and variables of an object. */

struct btf;

/** What stands behind `prefix` in a tag of the function or variable `name`; NULL: it has no such tag. Borrowed from the BTF. */
const char *sonde_btf_tag(const struct btf *btf, const char *name, const char *prefix);
