/* A translation unit for rooms that have headers only. */
typedef int pn_empty;
