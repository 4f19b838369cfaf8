// Output files and folders are there whole or not at all.
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loaders/output.h"

static char folder[] = "/tmp/vc_output_XXXXXX";

static void enter(void) {
  cr_assert_not_null(mkdtemp(folder));
  cr_assert_eq(chdir(folder), 0);
  umask(022);
}

static void leave(void) {
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  cr_assert(!chdir("/") && !system(command));
}

static int entries(const char *path) {
  DIR *list = opendir(path);
  int count = 0;
  if (!list) return -1;
  for (struct dirent *entry; (entry = readdir(list));)
    count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
  closedir(list);
  return count;
}

static void put(const char *path, const char *text) {
  FILE *file = fopen(path, "wb");
  cr_assert_not_null(file);
  fputs(text, file);
  fclose(file);
}

static bool holds(const char *path, const char *text) {
  char buffer[64] = {0};
  FILE *file = fopen(path, "rb");
  if (!file) return false;
  size_t size = fread(buffer, 1, sizeof buffer - 1, file);
  fclose(file);
  return size == strlen(text) && !memcmp(buffer, text, size);
}

static mode_t mode_of(const char *path) {
  struct stat info;
  return stat(path, &info) ? 0 : info.st_mode & 07777;
}

Test(output, a_file_appears_at_the_commit, .init = enter, .fini = leave) {
  vc_output out;
  vc_error error;
  cr_assert_eq(vc_output_open(&out, "a", &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_output_write(&out, "hello", 5, &error), VC_OK);
  cr_expect(access("a", F_OK), "it is there too early");
  cr_assert_eq(vc_output_commit(&out, &error), VC_OK, "%s", error.message);
  cr_expect(!out.file && !out.path && !out.temporary);
  vc_output_abort(&out);
  cr_expect(holds("a", "hello"));
  cr_expect_eq(mode_of("a"), 0644);
  cr_expect_eq(entries("."), 1);
}

Test(output, an_abort_leaves_nothing_and_the_old_file, .init = enter, .fini = leave) {
  vc_output out;
  vc_error error;
  put("a", "old");
  for (int i = 0; i < 2; i++) {
    cr_assert_eq(vc_output_open(&out, i ? "a" : "b", &error), VC_OK);
    fputs("new", out.file);
    vc_output_abort(&out);
    vc_output_abort(&out);
  }
  cr_expect(holds("a", "old"));
  cr_expect_eq(entries("."), 1);
}

Test(output, an_old_file_passes_its_mode_on, .init = enter, .fini = leave) {
  vc_output out;
  vc_error error;
  put("a", "old");
  cr_assert_eq(chmod("a", 0640), 0);
  cr_assert_eq(vc_output_open(&out, "a", &error), VC_OK);
  fputs("new", out.file);
  cr_expect(holds("a", "old"));
  cr_assert_eq(vc_output_commit(&out, &error), VC_OK);
  cr_expect(holds("a", "new"));
  cr_expect_eq(mode_of("a"), 0640);
}

Test(output, links_are_followed_and_stay, .init = enter, .fini = leave) {
  vc_output out;
  vc_error error;
  struct stat info;
  put("target", "old");
  cr_assert(!symlink("target", "link") && !symlink("nowhere", "dangling"));
  cr_assert_eq(vc_output_open(&out, "link", &error), VC_OK);
  fputs("new", out.file);
  cr_assert_eq(vc_output_commit(&out, &error), VC_OK);
  cr_expect(holds("target", "new"));
  cr_expect(!lstat("link", &info) && S_ISLNK(info.st_mode));
  cr_expect_eq(vc_output_open(&out, "dangling", &error), VC_FAILED);
}

Test(output, two_at_once_do_not_meet, .init = enter, .fini = leave) {
  vc_output first, second;
  vc_error error;
  cr_assert_eq(vc_output_open(&first, "a", &error), VC_OK);
  cr_assert_eq(vc_output_open(&second, "a", &error), VC_OK);
  fputs("first", first.file);
  fputs("second", second.file);
  cr_expect_eq(vc_output_commit(&first, &error), VC_OK);
  cr_expect(holds("a", "first"));
  cr_expect_eq(vc_output_commit(&second, &error), VC_OK);
  cr_expect(holds("a", "second"));
  cr_expect_eq(entries("."), 1);
}

Test(output, bad_paths_are_refused_at_once, .init = enter, .fini = leave) {
  char longest[300];
  memset(longest, 'x', sizeof longest - 1);
  longest[sizeof longest - 1] = 0;
  const struct {
    const char *path, *message;
  } cases[] = {
      {"", "names no file"},       {"/", "names no file"}, {".", "names no file"},        {"a/..", "names no file"},
      {"no/such", "No such file"}, {"/tmp", "a folder"},   {"file/a", "Not a directory"}, {longest, "too long"},
  };
  put("file", "");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_output out;
    vc_error error = {{0}};
    cr_expect_eq(vc_output_open(&out, cases[i].path, &error), VC_FAILED, "%s", cases[i].path);
    cr_expect(strstr(error.message, cases[i].message), "said \"%s\"", error.message);
    cr_expect(!out.file && !out.path && !out.temporary);
  }
  cr_expect_eq(entries("."), 1);
}

Test(output, names_of_any_legal_length_work, .init = enter, .fini = leave) {
  char name[256] = {0};
  vc_output out;
  vc_error error;
  memset(name, 'x', 255);
  cr_assert_eq(vc_output_open(&out, name, &error), VC_OK, "%s", error.message);
  cr_expect_eq(vc_output_commit(&out, &error), VC_OK, "%s", error.message);
  cr_expect_eq(entries("."), 1);
}

Test(output, a_device_is_written_and_stays) {
  vc_output out;
  vc_error error;
  struct stat info;
  cr_assert_eq(vc_output_open(&out, "/dev/null", &error), VC_OK, "%s", error.message);
  cr_expect_null(out.temporary);
  fputs("x", out.file);
  cr_expect_eq(vc_output_commit(&out, &error), VC_OK);
  cr_expect(!stat("/dev/null", &info) && S_ISCHR(info.st_mode));
}

Test(output, a_full_device_is_one_line) {
  static char large[1 << 20];
  static const size_t sizes[] = {1, 100000, sizeof large};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    vc_output out;
    vc_error error = {{0}};
    cr_assert_eq(vc_output_open(&out, "/dev/full", &error), VC_OK, "%s", error.message);
    fwrite(large, 1, sizes[i], out.file);  // its result is not looked at: the commit must still notice
    cr_expect_eq(vc_output_commit(&out, &error), VC_FAILED, "%zu bytes", sizes[i]);
    cr_expect_eq(strncmp(error.message, "/dev/full: cannot be written: ", 30), 0, "said \"%s\"", error.message);
    cr_expect(!out.file && !out.path);
  }
}

// A limit on the size of files stands in for a full disk.
static void limit_files(size_t size) {
  const struct rlimit limit = {size, size};
  signal(SIGXFSZ, SIG_IGN);
  cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(output, a_failed_write_leaves_nothing, .init = enter, .fini = leave) {
  static char large[100000];
  vc_error error = {{0}};
  vc_output out;
  put("a", "old");
  limit_files(50000);
  for (int checked = 0; checked < 2; checked++) {
    cr_assert_eq(vc_output_open(&out, "a", &error), VC_OK);
    if (checked) {
      cr_expect_eq(vc_output_write(&out, large, sizeof large, &error), VC_FAILED);
      cr_expect(strstr(error.message, "File too large"), "said \"%s\"", error.message);
      error.message[0] = 0;
    } else {
      fwrite(large, 1, sizeof large, out.file);
    }
    cr_expect_eq(vc_output_commit(&out, &error), VC_FAILED);
    cr_expect(strstr(error.message, "a: cannot be written"), "said \"%s\"", error.message);
    cr_expect(holds("a", "old"));
    cr_expect_eq(entries("."), 1);
  }
}

static vc_status write_folder(const char *path, int frames, const char *text, vc_error *error) {
  vc_output_folder out;
  vc_output file;
  vc_status status = vc_output_folder_open(&out, path, error);
  for (int i = 0; i < frames && !status; i++) {
    char name[16];
    snprintf(name, sizeof name, "%03d.png", i);
    status = vc_output_folder_file(&file, &out, name, error);
    if (status) break;
    fputs(text, file.file);
    status = vc_output_commit(&file, error);
  }
  if (status)
    vc_output_folder_abort(&out);
  else
    status = vc_output_folder_commit(&out, error);
  return status;
}

Test(output, folders_are_made_and_replaced, .init = enter, .fini = leave) {
  vc_error error = {{0}};
  cr_assert_eq(mkdir("empty", 0755), 0);
  static const struct {
    const char *path;
    int frames;
  } cases[] = {{"new", 3}, {"new/", 2}, {"empty", 2}, {"new", 0}, {"new", 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[8];
    snprintf(text, sizeof text, "%zu", i);
    cr_expect_eq(write_folder(cases[i].path, cases[i].frames, text, &error), VC_OK, "case %zu: %s", i, error.message);
    cr_expect_eq(entries(cases[i].path), cases[i].frames, "case %zu", i);
  }
  cr_expect(holds("new/000.png", "4") && holds("empty/001.png", "2"));
  cr_expect_eq(mode_of("new"), 0755);
  cr_expect_eq(entries("."), 2);
}

Test(output, folders_with_other_things_are_refused, .init = enter, .fini = leave) {
  static const char *const others[] = {"notes.txt", ".hidden", "photo1.png", "1.PNG", ".png", "1.png.bak", "-1.png"};
  vc_error error;
  put("file", "");
  cr_expect_eq(write_folder("file", 1, "x", &error), VC_FAILED);
  cr_expect_eq(write_folder("no/such", 1, "x", &error), VC_FAILED);
  cr_expect_eq(write_folder(".", 1, "x", &error), VC_FAILED);
  cr_expect_eq(write_folder("", 1, "x", &error), VC_FAILED);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    char path[64];
    cr_assert_eq(mkdir("mine", 0755), 0);
    put("mine/0.png", "");
    snprintf(path, sizeof path, "mine/%s", others[i]);
    put(path, "mine");
    cr_expect_eq(write_folder("mine", 1, "x", &error), VC_FAILED, "%s", others[i]);
    cr_expect(strstr(error.message, "name a new or empty folder"), "said \"%s\"", error.message);
    cr_expect(holds(path, "mine") && entries("mine") == 2);
    cr_assert(!unlink(path) && !unlink("mine/0.png"));
    cr_assert_eq(mkdir("mine/1.png", 0755), 0);  // a folder named like a frame
    cr_expect_eq(write_folder("mine", 1, "x", &error), VC_FAILED);
    cr_assert(!rmdir("mine/1.png") && !rmdir("mine"));
  }
  cr_expect_eq(entries("."), 1);
}

Test(output, what_appears_meanwhile_is_not_overwritten, .init = enter, .fini = leave) {
  vc_output_folder out;
  vc_error error;
  cr_assert_eq(vc_output_folder_open(&out, "a", &error), VC_OK);
  cr_assert_eq(mkdir("a", 0755), 0);
  put("a/notes.txt", "mine");
  cr_expect_eq(vc_output_folder_commit(&out, &error), VC_FAILED);
  cr_expect(holds("a/notes.txt", "mine"));
  cr_expect_eq(entries("."), 1);
}

Test(output, an_aborted_folder_leaves_the_old_one, .init = enter, .fini = leave) {
  vc_output_folder out;
  vc_output file;
  vc_error error;
  cr_assert_eq(write_folder("a", 2, "old", &error), VC_OK);
  for (int i = 0; i < 2; i++) {
    cr_assert_eq(vc_output_folder_open(&out, i ? "a" : "b", &error), VC_OK);
    cr_assert_eq(vc_output_folder_file(&file, &out, "0.png", &error), VC_OK);
    fputs("new", file.file);
    if (i)
      vc_output_abort(&file);
    else
      cr_expect_eq(vc_output_commit(&file, &error), VC_OK);
    cr_expect_eq(vc_output_folder_file(&file, &out, "../x", &error), VC_INVALID);
    cr_expect_eq(vc_output_folder_file(&file, &out, "", &error), VC_INVALID);
    vc_output_folder_abort(&out);
    vc_output_folder_abort(&out);
  }
  cr_expect(holds("a/000.png", "old") && entries("a") == 2);
  cr_expect_eq(entries("."), 1);
}
