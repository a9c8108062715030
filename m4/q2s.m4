dnl SPDX-License-Identifier: GPL-2.0-or-later
dnl The questions that q2s asks of a compiler, a linker and pkg-config, each asked in one place.

dnl Q2S_CC_FLAGS(VARIABLE, FLAGS)
dnl Add to VARIABLE those of FLAGS that the compiler takes. -Werror, because clang only warns
dnl about a warning option that it does not know.
AC_DEFUN([Q2S_CC_FLAGS], [
	for q2s_flag in $2; do
		q2s_save=$CFLAGS
		CFLAGS="$CFLAGS -Werror $q2s_flag"
		AC_MSG_CHECKING([whether $CC takes $q2s_flag])
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
			[AC_MSG_RESULT([yes]); $1="$$1 $q2s_flag"], [AC_MSG_RESULT([no])])
		CFLAGS=$q2s_save
	done
	AC_SUBST([$1])
])

dnl Q2S_LD_FLAGS(VARIABLE, FLAGS)
dnl The same for the linker.
AC_DEFUN([Q2S_LD_FLAGS], [
	for q2s_flag in $2; do
		q2s_save=$LDFLAGS
		LDFLAGS="$LDFLAGS $q2s_flag"
		AC_MSG_CHECKING([whether the linker takes $q2s_flag])
		AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
			[AC_MSG_RESULT([yes]); $1="$$1 $q2s_flag"], [AC_MSG_RESULT([no])])
		LDFLAGS=$q2s_save
	done
	AC_SUBST([$1])
])

dnl Q2S_SANITIZE(FLAGS)
dnl Instrument everything that is compiled and linked; the user asked for it, so a compiler that
dnl cannot is an error.
AC_DEFUN([Q2S_SANITIZE], [
	for q2s_flag in $1; do
		SANITIZE_FLAGS="$SANITIZE_FLAGS $q2s_flag"
	done
	q2s_save=$CFLAGS
	CFLAGS="$CFLAGS $SANITIZE_FLAGS"
	AC_MSG_CHECKING([whether $CC can build with$SANITIZE_FLAGS])
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		 AC_MSG_ERROR([$CC cannot build with$SANITIZE_FLAGS (libFuzzer needs CC=clang)])])
	CFLAGS=$q2s_save
	AC_SUBST([SANITIZE_FLAGS])
])

dnl Q2S_LD_VERSION_SCRIPT
dnl Where the linker reads version scripts, lib/libq2s.map decides what libq2s exports; elsewhere
dnl libtool's -export-symbols-regex does.
AC_DEFUN([Q2S_LD_VERSION_SCRIPT], [
	AC_CACHE_CHECK([whether the linker reads version scripts], [q2s_cv_version_script], [
		echo 'Q2S_TEST { global: main; local: *; };' >conftest.map
		q2s_save=$LDFLAGS
		LDFLAGS="$LDFLAGS -Wl,--version-script=conftest.map"
		AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
			[q2s_cv_version_script=yes], [q2s_cv_version_script=no])
		LDFLAGS=$q2s_save
		rm -f conftest.map
	])
	AM_CONDITIONAL([HAVE_VERSION_SCRIPT], [test "x$q2s_cv_version_script" = xyes])
])

dnl Q2S_WITH(NAME, PKG-CONFIG MODULE, PURPOSE, [FUNCTION])
dnl An optional library: --with-NAME insists on it, --without-NAME leaves it out, neither takes it
dnl when it is there. Defines HAVE_<NAME> for the preprocessor and for automake, and leaves yes or
dnl no in $with_NAME for the summary. With FUNCTION, one of the library's, it is not linked, but
dnl loaded by the code that needs it, as SONAME_<NAME>.
AC_DEFUN([Q2S_WITH], [
	AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1], [$3 (default: when found)])],
		[], [with_$1=auto])
	AS_IF([test "x$with_$1" != xno], [
		PKG_CHECK_MODULES(m4_toupper([$1]), [$2], [q2s_found=yes], [q2s_found=no])
		AS_IF([test "$q2s_found$with_$1" = noyes],
			[AC_MSG_ERROR([--with-$1 was asked for, but pkg-config does not find $2])])
		with_$1=$q2s_found
	])
	AS_IF([test "x$with_$1" = xyes], [
		AC_DEFINE([HAVE_]m4_toupper([$1]), [1], [Define to 1 for $3.])
		DEPS_CFLAGS="$DEPS_CFLAGS $m4_toupper([$1])_CFLAGS"
		m4_ifval([$4], [Q2S_SONAME([$1], [$4])], [
			DEPS_LIBS="$DEPS_LIBS $m4_toupper([$1])_LIBS"
			PC_REQUIRES="$PC_REQUIRES $2"
		])
	])
	AM_CONDITIONAL([HAVE_]m4_toupper([$1]), [test "x$with_$1" = xyes])
])

dnl Q2S_SONAME(NAME, FUNCTION)
dnl Defines SONAME_<NAME>: how the loader finds the library NAME, that is, what a program refers to
dnl which is linked with it and calls FUNCTION.
AC_DEFUN([Q2S_SONAME], [
	AC_CACHE_CHECK([by which name $1 is loaded], [q2s_cv_soname_$1], [
		q2s_cv_soname_$1=
		q2s_save=$LIBS
		LIBS="$m4_toupper([$1])_LIBS $LIBS"
		AC_LINK_IFELSE([AC_LANG_CALL([], [$2])], [
			q2s_cv_soname_$1=`$OBJDUMP -p conftest$EXEEXT |
				sed -n 's/^ *NEEDED  *\($1[[^ ]]*\)$/\1/p'`
		])
		LIBS=$q2s_save
	])
	AS_IF([test "x$q2s_cv_soname_$1" = x], [AC_MSG_ERROR([
		$1 is there, but not as a shared library that can be loaded (looked for with
		$OBJDUMP); --without-$1 goes on, as does q2s_cv_soname_$1=NAME])])
	AC_SEARCH_LIBS([dlopen], [dl], [], [AC_MSG_ERROR([nothing here can load $1])])
	AC_DEFINE_UNQUOTED([SONAME_]m4_toupper([$1]), ["$q2s_cv_soname_$1"],
		[Define to the name by which $1 is loaded.])
])
