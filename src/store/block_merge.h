/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file block_merge.h
 * Neighbouring blocks of one type become one block, without building rows.
 *
 * Threads: one for each merge.
 */

#include <store/block_scan.h>

struct sonde_block_merge;

int sonde_block_merge_new(struct sonde_block_merge **ret_merge);
void sonde_block_merge_free(struct sonde_block_merge **merge);
/**
 * @brief Add a block's rows.
 * @return 1 taken, 0 the block is of another version of the type than the first one, -EBADMSG damaged, -EIO with the source's
 * code, -ENOMEM.
 */
int sonde_block_merge_take(struct sonde_block_merge *merge, struct sonde_block_source *source, const struct sonde_type *stored,
			   const struct sonde_block_ref *ref);
/** Memory of what was taken. */
size_t sonde_block_merge_bytes(const struct sonde_block_merge *merge);
/** All that was taken as one block, with the place of the first one. @return 0 or -ENOMEM. */
int sonde_block_merge_end(const struct sonde_block_merge *merge, struct sonde_block_encoder *encoder,
			  struct sonde_block **ret_block);
