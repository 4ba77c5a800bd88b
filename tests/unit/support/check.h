/* check.h - cmocka, with the headers it needs before it. */
#ifndef TRIB_SUPPORT_CHECK_H
#define TRIB_SUPPORT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif
