/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * @file vectors.h
 * For the few files with short loops over many numbers, where it pays to let the compiler use vectors.
 */

#ifndef __clang__ /* it does so anyway */
#pragma GCC optimize("O3")
#endif

/* A copy for CPUs with wider vectors; which is taken is decided when the program starts, before a sanitizer is there. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
	!defined(__SANITIZE_THREAD__)
#define SONDE_VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define SONDE_VECTORS
#endif
