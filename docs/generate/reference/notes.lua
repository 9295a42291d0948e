--- What a page says beside the table: where to read on. One entry for each operation.
--
-- * `contract`: the number and the anchor of its section in docs/contract.md
-- * `guide`: headings of docs/guide.md
-- * `ask`?: the operation that tells how far a PENDING one is
-- * `version`?: its value of the option `version`
local SELL, TAKE_CARE = "List, lock, sell, print", "Decide after a failed write"
local MANY = "More tokens than one call takes"
local POLL, TRANSFER = "Poll what is PENDING", "Transfer tickets"

return {
  ["auth.token"] = { contract = { "2.1", "21-token-call" }, guide = { "Authorise", "Keep the tokens" } },
  ["catalog.events"] = { contract = { "2.2", "22-events" }, guide = { SELL } },
  ["listings.get"] = { contract = { "2.3", "23-listing" }, guide = { SELL } },
  ["orders.complete"] = { contract = { "2.8", "28-complete-order-and-its-status" }, ask = "orders.status",
    guide = { SELL, POLL, TAKE_CARE } },
  ["orders.status"] = { contract = { "2.8", "28-complete-order-and-its-status" }, ask = "orders.status",
    guide = { POLL, TAKE_CARE } },
  ["tickets.lock"] = { contract = { "2.4", "24-lock" }, guide = { SELL, MANY, TAKE_CARE } },
  ["tickets.print"] = { contract = { "2.7", "27-print" }, guide = { SELL, MANY } },
  ["tickets.unlock"] = { contract = { "2.5", "25-unlock" }, guide = { SELL, MANY } },
  ["tickets.verify"] = { contract = { "2.6", "26-verify" }, guide = { SELL, MANY, TAKE_CARE } },
  ["transfers.accept"] = { contract = { "2.11", "211-accept-a-transfer" }, guide = { TRANSFER, TAKE_CARE } },
  ["transfers.cancel"] = { contract = { "2.12", "212-cancel-a-transfer-and-its-history" },
    guide = { TRANSFER, TAKE_CARE } },
  ["transfers.complete"] = { contract = { "2.13", "213-complete-transfer-and-its-status" },
    ask = "transfers.complete_status", guide = { TRANSFER, POLL, TAKE_CARE } },
  ["transfers.complete_status"] = { contract = { "2.13", "213-complete-transfer-and-its-status" },
    ask = "transfers.complete_status", guide = { POLL } },
  ["transfers.history"] = { contract = { "2.12", "212-cancel-a-transfer-and-its-history" }, guide = { TRANSFER } },
  ["transfers.initiate"] = { contract = { "2.9", "29-initiate-a-transfer-v1-and-v2" }, ask = "transfers.pending",
    version = "v2", guide = { TRANSFER, POLL, TAKE_CARE } },
  ["transfers.initiate_v1"] = { contract = { "2.9", "29-initiate-a-transfer-v1-and-v2" }, version = "v1",
    guide = { TRANSFER, TAKE_CARE } },
  ["transfers.pending"] = { contract = { "2.10", "210-status-of-a-v2-transfer" }, ask = "transfers.pending",
    guide = { POLL } },
}
