-- For wrk: sixteen requests at a time on each connection.
function init(args)
    request_16 = string.rep(wrk.format(), 16)
end

function request()
    return request_16
end
