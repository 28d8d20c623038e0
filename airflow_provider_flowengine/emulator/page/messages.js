// What FlowEngine's emulator says in its answers, in the page's language: patterns and templates, [English, Chinese].
// What isn't here is somebody's own text, and shown as it is.

import { language } from "./words.js";

const MESSAGES = [
  [/^pipeline (\S+) does not exist$/, "Pipeline $1 不存在"],
  [/^pipeline run (\S+) does not exist$/, "运行 $1 不存在"],
  [/^pipeline run (\S+) is not running \(status (.*)\)$/, "运行 $1 不在运行中（状态 $2）"],
  [/^pipeline run (\S+) can't be resumed \(status (.*)\)$/, "运行 $1 不能继续（状态 $2）"],
  [/^pipelineKey (.*) exists already$/, "pipelineKey $1 已存在"],
  [/^the pipeline has no data object$/, "Pipeline 缺少 data 对象"],
  [/^the pipeline has a cycle: (.*)$/, "Pipeline 存在环：$1"],
  [/^the pipeline has (\d+) nodes; at most (\d+) are taken$/, "Pipeline 有 $1 个节点，最多允许 $2 个"],
  [/^the body is not a pipeline object$/, "内容不是 Pipeline 对象"],
  [/^the body is too large; at most (\d+) bytes are taken$/, "内容过大，最多 $1 字节"],
  [/^(.*) is not a list of objects$/, "$1 不是对象列表"],
  [/^(.*) is not an object$/, "$1 不是对象"],
  [/^a node has no nodeId$/, "有节点缺少 nodeId"],
  [/^two nodes have the nodeId (.*)$/, "有两个节点的 nodeId 同为 $1"],
  [/^node (.*) has the unknown (type|indexType) (.*); known: (.*)$/, "节点 $1 的 $2 未知：$3；可用：$4"],
  [/^edge (.*) leads to the unknown node (.*) \((.*)\)$/, "连线 $1 指向未知节点 $2（$3）"],
  [/^the unknown runMode (.*); known: (.*)$/, "未知的 runMode $1；可用：$2"],
  [/^runMode PERIODICAL with interval (.*): it has to be at least a second$/, "runMode PERIODICAL 的 interval 为 $1，至少应为 1 秒"],
  [/^cron expression (.*) will never fire$/, "Cron 表达式 $1 永远不会触发"],
  [/^cron expression (.*?): (.*)$/, "Cron 表达式 $1 有误：$2"],
  [/^start params for the unknown node (.*); nodes: (.*)$/, "启动参数指向未知节点 $1；节点有：$2"],
  [/^wrong username or password$/, "用户名或密码错误"],
  [/^node (.*) failed$/, "节点 $1 失败"],
  [/^timed out after (.*) s$/, "超过 $1 秒，已超时"],
  [/^(.*) is simulated here$/, "$1 在此仅为模拟"],
  [/^exit code (\d+)(.*)$/s, "退出码 $1$2"],
  [/^the kernel was restarted$/, "引擎内核已重启"],
];

const CHINESE = { 未登录或登录已过期: "Not signed in, or the session is over", 系统异常: "Something is wrong in FlowEngine" };

/** A text of the emulator's in the page's language. */
export function translate(text) {
  if (language === "en") return CHINESE[text] ?? text;
  const [pattern, chinese] = MESSAGES.find(([each]) => each.test(text)) ?? [];
  return pattern ? text.replace(pattern, chinese) : text;
}
