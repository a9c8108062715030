/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Statements that change the image when it is finished; @rest is the line behind the word. */
#ifndef CORPUS_DAMAGE_H
#define CORPUS_DAMAGE_H

#include "model.h"

/** set FIELD = EXPRESSION */
enum q2s_err do_set(struct model *model, char *rest);
/** repeat N set FIELD = EXPRESSION, in which i counts from 0 */
enum q2s_err do_repeat(struct model *model, char *rest);
/** bytes OFFSET BYTE...: what no field stands for */
enum q2s_err do_bytes(struct model *model, char *rest);
/** file-size EXPRESSION */
enum q2s_err do_size(struct model *model, char *rest);
/** breaks RULE PLACE: the rule that is broken, and where */
enum q2s_err do_breaks(struct model *model, char *rest);

#endif
