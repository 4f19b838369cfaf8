#include "loaders/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_ATTEMPTS = 10000 };

static vc_status cannot(vc_error *error, const char *path, int problem) {
  const char *hint = problem == ENOSPC || problem == EDQUOT ? "; free some space or write elsewhere" : "";
  return vc_fail(error, VC_FAILED, "%s: cannot be written: %s%s", path, strerror(problem ? problem : EIO), hint);
}

// The path with a link at its end followed, since renaming over a link would replace the link and not its target, and
// without slashes at its end.
static vc_status resolve(char **out, const char *path, vc_error *error) {
  struct stat info;
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  char *plain = strndup(path, length);
  if (!plain) return vc_fail(error, VC_NO_MEMORY, "%s: no memory for its path", path);
  const char *slash = strrchr(plain, '/'), *base = slash ? slash + 1 : plain;
  if (!*base || !strcmp(base, ".") || !strcmp(base, "..")) {
    free(plain);
    return vc_fail(error, VC_FAILED, "\"%s\" names no file or folder to write", path);
  }
  if (lstat(plain, &info)) {
    if (errno == ENOENT) {
      *out = plain;
      return VC_OK;
    }
    int problem = errno;
    free(plain);
    return cannot(error, path, problem);
  }
  *out = S_ISLNK(info.st_mode) ? realpath(plain, NULL) : plain;
  int problem = errno;
  if (*out != plain) free(plain);
  return *out ? VC_OK : cannot(error, path, problem);
}

// A name beside `path` that nothing has yet: hidden, since it is not for the user, and cut so that it is never longer
// than a file system allows. `attempt` tells apart what runs at the same time.
static char *name_beside(const char *path, int attempt, const char *suffix) {
  char *name = NULL;
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
  if (asprintf(&name, "%.*s.%.100s.%ld-%d.%s", (int)(base - path), path, base, (long)getpid(), attempt, suffix) < 0)
    return NULL;
  return name;
}

static int open_beside(vc_output *out, mode_t mode) {
  for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    out->temporary = name_beside(out->path, attempt, "part");
    if (!out->temporary) break;
    int file = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file >= 0) {
      // The new file has the mode that the umask gives; one that replaces another takes over the other's.
      if (mode && fchmod(file, mode & 0777)) errno = 0;
      return file;
    }
    int problem = errno;
    free(out->temporary);
    out->temporary = NULL;
    errno = problem;
    if (problem != EEXIST) break;
  }
  return -1;
}

vc_status vc_output_open(vc_output *out, const char *path, vc_error *error) {
  struct stat info;
  int file = -1;

  *out = (vc_output){0};
  vc_status status = resolve(&out->path, path, error);
  if (status) goto done;
  bool there = !stat(out->path, &info);
  if (there && S_ISDIR(info.st_mode)) {
    status = vc_fail(error, VC_FAILED, "%s: is a folder; name a file to write", path);
    goto done;
  }
  if (there && access(out->path, W_OK)) {
    status = cannot(error, path, errno);
    goto done;
  }
  // Devices and pipes are written as they are: renaming would put a file in their place.
  file = there && !S_ISREG(info.st_mode) ? open(out->path, O_WRONLY | O_CLOEXEC)
                                         : open_beside(out, there ? info.st_mode : 0);
  if (file >= 0) out->file = fdopen(file, "wb");
  if (!out->file) status = cannot(error, path, errno);

done:
  if (status) {
    if (file >= 0) close(file);
    vc_output_abort(out);
  }
  return status;
}

vc_status vc_output_write(vc_output *out, const void *data, size_t size, vc_error *error) {
  errno = 0;
  if (!size || fwrite(data, 1, size, out->file) == size) return VC_OK;
  if (!out->problem) out->problem = errno ? errno : EIO;
  return cannot(error, out->path, out->problem);
}

vc_status vc_output_commit(vc_output *out, vc_error *error) {
  errno = 0;
  bool good = !ferror(out->file);
  if (fflush(out->file)) good = false;
  int problem = out->problem ? out->problem : errno;
  if (fclose(out->file) && good) {
    good = false;
    problem = errno;
  }
  out->file = NULL;
  if (good && out->temporary && rename(out->temporary, out->path)) {
    good = false;
    problem = errno;
  }
  vc_status status = good ? VC_OK : cannot(error, out->path, problem);
  if (good) {
    free(out->temporary);
    out->temporary = NULL;
  }
  vc_output_abort(out);
  return status;
}

void vc_output_abort(vc_output *out) {
  if (out->file) fclose(out->file);
  if (out->temporary) unlink(out->temporary);
  free(out->temporary);
  free(out->path);
  *out = (vc_output){0};
}

static bool is_numbered_png(const char *name) {
  size_t digits = strspn(name, "0123456789");
  return digits && !strcmp(name + digits, ".png");
}

// 0 when the folder holds nothing but numbered PNGs, else errno. `remove_all` also unlinks every file in it.
static int scan_folder(const char *path, bool remove_all) {
  DIR *folder = opendir(path);
  int problem = folder ? 0 : errno;
  while (folder && !problem) {
    errno = 0;
    struct dirent *entry = readdir(folder);
    if (!entry) {
      problem = errno;
      break;
    }
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    struct stat info;
    if (remove_all) {
      if (unlinkat(dirfd(folder), entry->d_name, 0)) problem = errno;
    } else if (!is_numbered_png(entry->d_name) || fstatat(dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) ||
               !S_ISREG(info.st_mode)) {
      problem = ENOTEMPTY;
    }
  }
  if (folder) closedir(folder);
  return problem;
}

static void remove_folder(const char *path) {
  scan_folder(path, true);
  rmdir(path);
}

// Whether the folder may be made at `path`, now; asked again at the end of the work, which may have taken long.
static vc_status check_replaceable(const char *path, vc_error *error) {
  struct stat info;
  if (stat(path, &info)) return errno == ENOENT ? VC_OK : cannot(error, path, errno);
  if (!S_ISDIR(info.st_mode)) return vc_fail(error, VC_FAILED, "%s: is a file, not a folder to write frames to", path);
  int problem = scan_folder(path, false);
  if (problem == ENOTEMPTY)
    return vc_fail(error, VC_FAILED,
                   "%s: holds other things than numbered frames (0.png, 1.png, ...); name a new or empty folder", path);
  return problem ? cannot(error, path, problem) : VC_OK;
}

vc_status vc_output_folder_open(vc_output_folder *out, const char *path, vc_error *error) {
  *out = (vc_output_folder){0};
  vc_status status = resolve(&out->path, path, error);
  if (!status) status = check_replaceable(out->path, error);
  for (int attempt = 0; !status && !out->temporary && attempt < MAX_ATTEMPTS; attempt++) {
    out->temporary = name_beside(out->path, attempt, "part");
    if (!out->temporary) {
      status = cannot(error, path, ENOMEM);
    } else if (mkdir(out->temporary, 0777)) {
      int problem = errno;
      free(out->temporary);
      out->temporary = NULL;
      if (problem != EEXIST || attempt + 1 == MAX_ATTEMPTS) status = cannot(error, path, problem);
    }
  }
  if (status) vc_output_folder_abort(out);
  return status;
}

vc_status vc_output_folder_file(vc_output *out, const vc_output_folder *folder, const char *name, vc_error *error) {
  char *path = NULL;
  *out = (vc_output){0};
  if (!*name || strchr(name, '/')) return vc_fail(error, VC_INVALID, "\"%s\" is no name for a file of a folder", name);
  if (asprintf(&path, "%s/%s", folder->temporary, name) < 0) return cannot(error, folder->path, ENOMEM);
  vc_status status = vc_output_open(out, path, error);
  free(path);
  return status;
}

// Puts the new folder in place of an earlier one: the earlier one steps aside and is removed only when the new one is
// there; when that fails it comes back.
static int replace_folder(const vc_output_folder *out) {
  char *aside = NULL;
  int problem = EEXIST;
  for (int attempt = 0; problem == EEXIST && attempt < MAX_ATTEMPTS; attempt++) {
    free(aside);
    aside = name_beside(out->path, attempt, "old");
    if (!aside) return ENOMEM;
    struct stat info;
    // rename() would take an empty folder of that name for free, so existence is asked for.
    if (!lstat(aside, &info)) continue;
    problem = rename(out->path, aside) ? errno : 0;
  }
  if (!problem && rename(out->temporary, out->path)) {
    problem = errno;
    if (rename(aside, out->path)) problem = errno;
  } else if (!problem) {
    remove_folder(aside);
  }
  free(aside);
  return problem;
}

vc_status vc_output_folder_commit(vc_output_folder *out, vc_error *error) {
  vc_status status = check_replaceable(out->path, error);
  if (!status && rename(out->temporary, out->path)) {
    int problem = errno;
    if (problem == ENOTEMPTY || problem == EEXIST) problem = replace_folder(out);
    if (problem) status = cannot(error, out->path, problem);
  }
  if (!status) {
    free(out->temporary);
    out->temporary = NULL;
  }
  vc_output_folder_abort(out);
  return status;
}

void vc_output_folder_abort(vc_output_folder *out) {
  if (out->temporary) remove_folder(out->temporary);
  free(out->temporary);
  free(out->path);
  *out = (vc_output_folder){0};
}
