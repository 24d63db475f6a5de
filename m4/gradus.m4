# gradus.m4: the macros that configure.ac is written in.

# GR_IF_FLAGS(FLAGS, IF-TAKEN, IF-NOT): does the compiler take these flags without a word?
AC_DEFUN([GR_IF_FLAGS], [
    AC_MSG_CHECKING([whether $CC takes $1])
    gr_saved_cflags=$CFLAGS
    CFLAGS="$CFLAGS -Werror $1"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [gr_taken=yes], [gr_taken=no])
    CFLAGS=$gr_saved_cflags
    AC_MSG_RESULT([$gr_taken])
    AS_IF([test $gr_taken = yes], [$2], [$3])
])

# GR_MISSING(WHAT, DEBIAN, FEDORA, ARCH, HOMEBREW): note something that is not there;
# GR_STOP_IF_MISSING tells them all at once.
AC_DEFUN([GR_MISSING], [
    gr_missing="$gr_missing${gr_missing:+, }$1"
    m4_ifval([$2], [gr_debian="$gr_debian $2"])
    m4_ifval([$3], [gr_fedora="$gr_fedora $3"])
    m4_ifval([$4], [gr_arch="$gr_arch $4"])
    m4_ifval([$5], [gr_homebrew="$gr_homebrew $5"])
])

AC_DEFUN([GR_STOP_IF_MISSING], [
    AS_IF([test -n "$gr_missing"], [AC_MSG_ERROR([missing: $gr_missing

  Debian, Ubuntu:  apt install$gr_debian
  Fedora:          dnf install$gr_fedora
  Arch:            pacman -S$gr_arch
  Homebrew:        ${gr_homebrew:+brew install$gr_homebrew}$gr_missing_note

On Debian and Ubuntu ./bootstrap installs what is missing.])])
])
